"""Running requests survive a rotated key and a restarted TokenHub."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import httpx
import pytest

from tests.e2e.conftest import Gateway
from tests.rehearsal import KEY, RunningTokenHub, chat_body
from tests.scripted_server import Pieces, Request, ScriptedServer, answer, response

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

REQUESTS, AT_ONCE = 50, 10
OLD, NEW = "tokenhub_" + 64 * "0", "tokenhub_" + 64 * "1"
WHOLE = (b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n', 0.3, b"data: [DONE]\n\n")
REFUSED = answer(401, b"invalid api key\n", "text/plain")


class Keys:
    """A provider that accepts the keys in `taken`. `reached` is set once it has answered a quarter of the requests."""

    def __init__(self) -> None:
        self.taken = {OLD, NEW}
        self.answered = 0
        self.refused = 0
        self.reached = Event()

    def play(self, request: Request) -> Pieces:
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.taken:
            self.refused += 1
            return (REFUSED,)
        self.answered += 1
        if self.answered >= REQUESTS // 4:
            self.reached.set()
        return response(WHOLE) if request.json().get("stream") else (0.3, answer(200, b'{"choices":[{}]}'))


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def upstream(keys: Keys) -> Iterator[ScriptedServer]:
    with ScriptedServer(keys.play) as running:
        yield running


def test_rotating_a_key_fails_none_of_50_running_requests(
    gateway: Gateway, upstream: ScriptedServer, keys: Keys
) -> None:
    gateway.register("rotated", upstream.url, api_key=OLD)

    with gateway.client(**{"X-Provider-Id": "rotated"}) as client:

        def call(number: int) -> tuple[int, bool]:
            body = chat_body("a", stream=number % 2 == 0)
            response = client.post("/v1/chat/completions", json=body)
            return response.status_code, response.content.endswith(b"[DONE]\n\n" if body["stream"] else b"}")

        with ThreadPoolExecutor(AT_ONCE) as pool:
            outcomes = [pool.submit(call, number) for number in range(REQUESTS)]
            assert keys.reached.wait(60)
            gateway.register("rotated", upstream.url, api_key=NEW)
            keys.taken = {NEW}
            results = [outcome.result() for outcome in outcomes]

    used = [seen.headers["authorization"] for seen in upstream.requests]
    print(f"{keys.refused} refused with the old key, {used.count(f'Bearer {NEW}')} sent with the new one")
    assert results == [(200, True)] * REQUESTS
    # Each environment uses its cached key once more.
    assert 0 < keys.refused <= AT_ONCE
    assert len(used) == REQUESTS + keys.refused


@pytest.mark.parametrize("stream", [True, False])
def test_tokenhub_restart_between_requests_fails_none(gateway: Gateway, stream: bool) -> None:
    name = f"restarted-{stream}"
    with RunningTokenHub() as tokenhub, gateway.client(**{"X-Provider-Id": name}) as client:
        gateway.register(name, f"{tokenhub.url}/v1", api_key=KEY)
        for _ in range(5):
            assert complete(client, stream=stream)
            assert complete(client, stream=stream)
            tokenhub.stop()
            tokenhub.start()
            assert complete(client, stream=stream)


def complete(client: httpx.Client, *, stream: bool) -> bool:
    response = client.post("/v1/chat/completions", json=chat_body("Hello", stream=stream))
    return response.status_code == 200 and ("[DONE]" in response.text) == stream


def test_reuses_a_kept_connection_but_not_a_dropped_one(gateway: Gateway, keys: Keys) -> None:
    with ScriptedServer(keys.play) as upstream, gateway.client(**{"X-Provider-Id": "dropping"}) as client:
        gateway.register("dropping", upstream.url, api_key=OLD)
        for _ in range(3):
            client.post("/v1/chat/completions", json=chat_body("a")).raise_for_status()
        assert upstream.connections == 1

        upstream.drop_connections()
        client.post("/v1/chat/completions", json=chat_body("a")).raise_for_status()
        assert upstream.connections == 2
