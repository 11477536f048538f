"""ETag and If-Match through the handler: a change is made to what its sender has seen, or not at all."""

from typing import Any

import pytest

from gateway.heartbeat.health import next_health
from tests.functions.conftest import Load
from tests.functions.provider_api import ENDPOINT, Api
from tests.unit.gateway.builders import an_outcome

REFUSED = (412, "precondition_failed", "If-Match")
CHANGES: dict[str, Any] = {
    "POST": {"id": "main", "endpoint": ENDPOINT, "name": "Main"},
    "PUT": {"endpoint": ENDPOINT, "name": "Main"},
    "PATCH": {"name": "Main"},
    "DELETE": None,
}
every_change = pytest.mark.parametrize("method", CHANGES)


@pytest.fixture
def api(load: Load) -> Api:
    return Api(load("providers"))


def change(api: Api, method: str, if_match: str | list[str]) -> Any:
    return api(method, "" if method == "POST" else "main", CHANGES[method], if_match=if_match)


def test_answers_with_one_provider_have_a_strong_etag(api: Api) -> None:
    created = api.post().etag
    assert created[0] == created[-1] == '"'
    assert len(created) > 2

    assert api("GET", "main").etag == created
    assert api.post().etag == created
    assert api("PUT", "main", {"endpoint": ENDPOINT}).etag == created
    assert api("PATCH", "main", {}).etag == created

    replaced = api("PUT", "main", {"endpoint": ENDPOINT, "name": "Main"}).etag
    patched = api("PATCH", "main", {"description": "new"}).etag
    assert len({created, replaced, patched}) == 3
    assert api("GET", "main").etag == patched
    assert "ETag" not in api("GET").headers


def test_answers_are_never_cached_and_never_304(api: Api) -> None:
    created = api.post()

    assert created.headers["Cache-Control"] == "no-store"
    assert api("GET", "main", if_match=created.etag).status == 200


def test_a_new_default_changes_the_etags_of_both_providers(api: Api) -> None:
    first, second = api.post("first").etag, api.post("second").etag

    taken = api("PATCH", "second", {"default": True})

    assert taken.body["default"]
    assert taken.etag not in {first, second}
    assert api("GET", "first").etag != first
    assert api("GET", "first").etag != taken.etag
    assert not api("GET", "first").body["default"]


@every_change
def test_accepts_a_change_with_the_current_etag(api: Api, method: str) -> None:
    seen = api.post().etag

    assert change(api, method, seen).status == (204 if method == "DELETE" else 200)


@every_change
def test_refuses_a_change_with_another_etag(api: Api, method: str) -> None:
    seen = api.post().etag

    for header in ('"another"', f"W/{seen}", f'"another", W/{seen}', '""', f'"{seen[1:-2]}"'):
        answer = change(api, method, header)

        assert answer.error == REFUSED, header
        assert "Read the provider again" in answer.body["error"]["message"]
    assert api("GET", "main").body["name"] == "main"


@every_change
def test_refuses_the_etag_from_before_another_change(api: Api, method: str) -> None:
    seen = api.post().etag
    api("PATCH", "main", {"description": "new"})

    assert change(api, method, seen).error == REFUSED


@every_change
def test_refuses_the_etag_of_a_former_default(api: Api, method: str) -> None:
    seen = api.post().etag
    api.post("other", default=True)

    assert change(api, method, seen).error == REFUSED


@every_change
def test_accepts_a_list_of_etags_with_the_current_one(api: Api, method: str) -> None:
    seen = api.post().etag

    assert change(api, method, ['"one", "t,wo"', f'W/"three" , {seen}']).status in {200, 204}


@every_change
def test_a_star_matches_any_existing_provider(api: Api, method: str) -> None:
    nothing = change(api, method, "*")
    api.post()

    assert nothing.error == (REFUSED if method == "POST" else (404, "provider_not_found", "id"))
    assert change(api, method, "*").status in {200, 204}


def test_a_registration_with_if_match_creates_nothing(api: Api) -> None:
    assert change(api, "POST", '"seen"').error == REFUSED
    assert api("GET").body == []


@every_change
def test_rejects_malformed_etags(api: Api, method: str) -> None:
    seen = api.post().etag

    answer = change(api, method, seen.strip('"'))

    assert answer.error == (400, "invalid_request", "If-Match")
    assert "with its quotes" in answer.body["error"]["message"]
    assert api("GET", "main").body["name"] == "main"


def test_a_heartbeat_does_not_change_the_etag(api: Api) -> None:
    seen = api.post().etag
    read = api.app.providers.get("main")
    assert api.app.providers.record_beat(read, next_health(read.health, an_outcome()))

    assert api("GET", "main").body["status"] == "healthy"
    assert api("GET", "main").etag == seen
