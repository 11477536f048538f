"""Concurrent changes never overwrite each other, leave one default provider, and one writer per ETag wins."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import pytest

from tests.integration.conftest import Register

pytestmark = pytest.mark.timeout(400)
PATH = "/api/v1/providers"
ENDPOINT = "http://localhost:1/v1"
QUIET: dict[str, Any] = {"endpoint": ENDPOINT, "heartbeat": {"enabled": False}}


def at_once[T](calls: Sequence[Callable[[], T]]) -> list[T]:
    """Starts all calls at the same time and returns their results."""
    ready = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        ready.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.fixture(scope="module", autouse=True)
def warm(client_of: httpx.Client) -> None:
    """Starts one process of the function per concurrent caller, a few at a time.

    Twenty cold starts at once exceed API Gateway's timeout, and calls that wait for a cold start do not overlap.
    """
    for callers in (4, 8, 12, 16, *[20] * 10):
        began = time.monotonic()
        for response in at_once([lambda: client_of.get(PATH, timeout=60)] * callers):
            assert response.status_code in {200, 504}
        if callers == 20 and time.monotonic() - began < 2:
            return


def posting(http: httpx.Client, **fields: Any) -> Callable[[], httpx.Response]:
    return lambda: http.post(PATH, json=QUIET | fields)


def patching(http: httpx.Client, id_: str, body: dict[str, Any]) -> Callable[[], httpx.Response]:
    return lambda: http.patch(f"{PATH}/{id_}", json=body)


def defaults(http: httpx.Client) -> list[str]:
    return [provider["id"] for provider in http.get(PATH).json() if provider["default"]]


def statuses(responses: Sequence[httpx.Response]) -> Counter[int]:
    return Counter(response.status_code for response in responses)


def test_concurrent_registrations_of_one_id_create_one_provider(http: httpx.Client) -> None:
    responses = at_once([posting(http, id="same", description=str(number)) for number in range(20)])

    assert statuses(responses) == {201: 1, 200: 19}
    [provider] = http.get(PATH).json()
    assert provider["default"]
    # The default can be deleted only as the last provider, so the count is right.
    assert http.delete(f"{PATH}/same").status_code == 204
    assert http.get(PATH).json() == []


def test_concurrent_registrations_of_twenty_ids_leave_one_default(http: httpx.Client) -> None:
    ids = [f"p{number}" for number in range(20)]

    responses = at_once([posting(http, id=id_) for id_ in ids])

    assert statuses(responses) == {201: 20}
    assert {provider["id"] for provider in http.get(PATH).json()} == set(ids)
    assert len(defaults(http)) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_concurrent_takeovers_leave_one_default(http: httpx.Client, method: str) -> None:
    ids = ["first", "one", "other"]
    for id_ in ids:
        http.post(PATH, json=QUIET | {"id": id_}).raise_for_status()

    def take_over(id_: str) -> Callable[[], httpx.Response]:
        return posting(http, id=id_, default=True) if method == "POST" else patching(http, id_, {"default": True})

    for _ in range(5):
        assert statuses(at_once([take_over("one"), take_over("other")])) == {200: 2}
        assert len(defaults(http)) == 1
        assert defaults(http)[0] in {"one", "other"}
        http.patch(f"{PATH}/first", json={"default": True}).raise_for_status()
        assert defaults(http) == ["first"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_one_of_eight_writers_with_one_etag_wins(http: httpx.Client, method: str) -> None:
    http.post(PATH, json=QUIET | {"id": "main"}).raise_for_status()

    def write(name: str, etag: str) -> Callable[[], httpx.Response]:
        body = {"name": name} if method == "PATCH" else QUIET | {"id": "main", "name": name}
        path = PATH if method == "POST" else f"{PATH}/main"
        return lambda: http.request(method, path, json=body, headers={"If-Match": etag})

    for round_ in range(3):
        seen = http.get(f"{PATH}/main").headers["ETag"]

        responses = at_once([write(f"writer {number} of round {round_}", seen) for number in range(8)])

        assert statuses(responses) == {200: 1, 412: 7}
        [won] = [response for response in responses if response.status_code == 200]
        assert {a.json()["error"]["code"] for a in responses if a is not won} == {"precondition_failed"}
        now = http.get(f"{PATH}/main")
        assert (now.json()["name"], now.headers["ETag"]) == (won.json()["name"], won.headers["ETag"])


def change(http: httpx.Client, method: str, body: dict[str, str] | None, etag: str) -> Callable[[], httpx.Response]:
    return lambda: http.request(method, f"{PATH}/main", json=body, headers={"If-Match": etag})


def test_deletion_or_change_with_one_etag_wins(http: httpx.Client) -> None:
    http.post(PATH, json=QUIET | {"id": "default"}).raise_for_status()
    for _ in range(5):
        seen = http.post(PATH, json=QUIET | {"id": "main"}).headers["ETag"]
        calls = [("DELETE", None), ("PATCH", {"name": "Mine"})]

        deleted, patched = at_once([change(http, *call, seen) for call in calls])

        assert (deleted.status_code, patched.status_code) in {(204, 404), (412, 200), (204, 412)}
        assert (http.get(f"{PATH}/main").status_code == 404) == (deleted.status_code == 204)
        http.delete(f"{PATH}/main")


def test_concurrent_patches_of_different_fields_all_apply(http: httpx.Client) -> None:
    http.post(PATH, json=QUIET | {"id": "main"}).raise_for_status()
    for number in range(3):
        text = f"round {number}"
        changes: list[dict[str, Any]] = [
            *({name: text} for name in ("name", "model", "description")),
            *({"heartbeat": {name: value}} for name, value in (("model", text), ("max_tokens", number + 1))),
        ]

        responses = at_once([patching(http, "main", body) for body in changes])

        assert statuses(responses) == {200: 5}
        now = http.get(f"{PATH}/main").json()
        assert [now["name"], now["model"], now["description"]] == [text] * 3
        assert now["heartbeat"] == {"enabled": False, "model": text, "max_tokens": number + 1}


def test_location_header_points_to_the_new_provider(http: httpx.Client, register: Register) -> None:
    response = register()

    followed = http.get(response.url.join(response.headers["Location"]))

    assert (followed.status_code, followed.json()["id"]) == (200, "tokenhub")
    assert followed.headers["ETag"] == response.headers["ETag"]
