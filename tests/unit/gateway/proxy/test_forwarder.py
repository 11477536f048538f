import gc
import json
import time
from collections.abc import Callable

import pytest

from gateway.core.errors import DeadlineExceeded, FirstByteTimeout, NoProvider, ProviderNotFound
from gateway.proxy.forwarder import Forwarder
from gateway.proxy.request import read_request
from gateway.proxy.targets import TargetResolver
from gateway.proxy.upstream import Target, Upstream, UpstreamResponse
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.service import Registry
from gateway.registry.store import ProviderStore
from tests.scripted_server import HANG, Piece, Request, Script, always, answer
from tests.unit.gateway.builders import KEY, OTHER_KEY, Clock, a_request, wanted
from tests.unit.gateway.conftest import ANYWHERE, Serve
from tests.unit.gateway.sending import assert_released, read

OK = answer(body=b"{}")


@pytest.fixture
def registry(providers: ProviderStore, cipher: KeyCipher) -> Registry:
    return Registry(providers, cipher, clock=Clock(), endpoint_policy=ANYWHERE)


@pytest.fixture
def forwarder(providers: ProviderStore, cipher: KeyCipher, upstream: Upstream) -> Forwarder:
    return Forwarder(TargetResolver(providers, cipher, ANYWHERE.guard_endpoint), upstream)


def send(
    forwarder: Forwarder,
    provider_id: str | None = None,
    *,
    within: float = 30,
    on_target: Callable[[Target], None] = lambda _: None,
) -> tuple[Target, UpstreamResponse]:
    deadline = time.monotonic() + within
    return forwarder.send(read_request(a_request()), provider_id, deadline=deadline, on_target=on_target)


def taking(key: str) -> Script:
    def script(received: Request) -> tuple[Piece, ...]:
        good = received.headers.get("authorization") == f"Bearer {key}"
        return (OK if good else answer(401, b"invalid api key\n", "text/plain"),)

    return script


def keys(received: list[Request]) -> list[str | None]:
    return [each.headers.get("authorization") for each in received]


def test_sends_to_the_default_provider_with_its_key_and_model(
    serve: Serve, registry: Registry, forwarder: Forwarder
) -> None:
    server = serve(always(OK))
    registry.register(wanted(endpoint=server.url, api_key=KEY, model="echo"))
    target, response = send(forwarder)
    assert (target.provider_id, response.status, read(response)) == ("main", 200, b"{}")
    assert keys(server.requests) == [f"Bearer {KEY}"]
    assert json.loads(server.requests[0].body) == {"model": "echo", "messages": []}


def test_sends_to_the_named_provider(serve: Serve, registry: Registry, forwarder: Forwarder) -> None:
    default, other = serve(always(OK)), serve(always(OK))
    registry.register(wanted(endpoint=default.url))
    registry.register(wanted(id="other", endpoint=other.url))
    target, response = send(forwarder, "other")
    response.chunks.close()
    assert (target.provider_id, len(default.requests), len(other.requests)) == ("other", 0, 1)


def test_raises_when_there_is_no_provider(forwarder: Forwarder) -> None:
    with pytest.raises(NoProvider):
        send(forwarder)
    with pytest.raises(ProviderNotFound):
        send(forwarder, "main")


def test_repeats_the_request_with_a_rotated_key(
    serve: Serve, registry: Registry, forwarder: Forwarder, upstream: Upstream
) -> None:
    server = serve(taking(KEY))
    registry.register(wanted(endpoint=server.url, api_key=KEY))
    read(send(forwarder)[1])
    server.script = taking(OTHER_KEY)
    registry.register(wanted(endpoint=server.url, api_key=OTHER_KEY))
    target, response = send(forwarder)
    assert (response.status, read(response), target.key) == (200, b"{}", OTHER_KEY)
    assert keys(server.requests) == [f"Bearer {KEY}", f"Bearer {KEY}", f"Bearer {OTHER_KEY}"]
    assert_released(upstream)


def test_reports_the_target_before_each_attempt(serve: Serve, registry: Registry, forwarder: Forwarder) -> None:
    server = serve(taking("none"))
    registry.register(wanted(endpoint=server.url, api_key=KEY))
    read(send(forwarder)[1])
    registry.register(wanted(endpoint=server.url, api_key=OTHER_KEY))
    targets: list[tuple[str | None, int]] = []

    _, response = send(forwarder, on_target=lambda target: targets.append((target.key, len(server.requests))))
    response.chunks.close()

    assert targets == [(KEY, 1), (OTHER_KEY, 2)]


def test_does_not_repeat_the_request_with_the_same_key(serve: Serve, registry: Registry, forwarder: Forwarder) -> None:
    server = serve(taking(OTHER_KEY))
    registry.register(wanted(endpoint=server.url, api_key=KEY))
    _, response = send(forwarder)
    assert (response.status, read(response)) == (401, b"invalid api key\n")
    assert len(server.requests) == 1


def test_returns_the_second_401_without_a_third_attempt(serve: Serve, registry: Registry, forwarder: Forwarder) -> None:
    server = serve(taking("none"))
    registry.register(wanted(endpoint=server.url, api_key=KEY))
    read(send(forwarder)[1])
    registry.register(wanted(endpoint=server.url, api_key=OTHER_KEY))
    _, response = send(forwarder)
    read(response)
    assert response.status == 401
    assert keys(server.requests)[1:] == [f"Bearer {KEY}", f"Bearer {OTHER_KEY}"]


def test_closes_the_first_response_when_the_provider_was_deleted(
    serve: Serve, registry: Registry, providers: ProviderStore, forwarder: Forwarder, upstream: Upstream
) -> None:
    server = serve(taking(KEY))
    registry.register(wanted(endpoint=server.url, api_key=KEY))
    read(send(forwarder)[1])
    server.script = always(answer(401, b"invalid api key\n"))
    providers.delete("main")
    gc.disable()
    try:
        with pytest.raises(NoProvider) as caught:
            send(forwarder)
        # `caught` still refers to the error and so to every frame of its traceback.
        assert_released(upstream)
        del caught
    finally:
        gc.enable()


def test_sends_nothing_after_the_deadline(serve: Serve, registry: Registry, forwarder: Forwarder) -> None:
    server = serve(always(HANG))
    registry.register(wanted(endpoint=server.url))
    began = time.monotonic()
    with pytest.raises(FirstByteTimeout):
        send(forwarder, within=2.5)
    assert 2 < time.monotonic() - began < 10
    with pytest.raises(DeadlineExceeded):
        send(forwarder, within=-1)


@pytest.mark.parametrize("status", [400, 403, 429, 500, 502])
def test_does_not_repeat_other_errors(serve: Serve, registry: Registry, forwarder: Forwarder, status: int) -> None:
    server = serve(always(answer(status, b"no")))
    registry.register(wanted(endpoint=server.url, api_key=KEY))
    send(forwarder)[1].chunks.close()
    registry.register(wanted(endpoint=server.url, api_key=OTHER_KEY))
    assert send(forwarder)[1].status == status
    assert len(server.requests) == 2
