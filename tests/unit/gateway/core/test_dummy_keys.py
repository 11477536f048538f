"""Keys of under 8 characters, which local model servers accept. They are words of ordinary text and stay unredacted."""

import json

import pytest

from gateway.core.redaction import MIN_KEY_CHARACTERS, REDACTED, Redactor, redact, redact_cut_secrets, redact_secrets
from gateway.heartbeat.model_list import list_models
from gateway.heartbeat.probe import Probe, ProbeProgress
from gateway.proxy.request_log import RequestLog
from gateway.proxy.sse import StreamWatcher
from gateway.proxy.stream import relay
from gateway.proxy.upstream import Target, Upstream, UpstreamResponse
from gateway.proxy.upstream_errors import upstream_error
from tests.scripted_server import END, STREAM, Piece, always, answer, chunk
from tests.unit.gateway.builders import a_provider, a_request, completion
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.sending import read, send
from tests.unit.gateway.streams import BODY

HEADERS = {
    "cache_control": "no-cache, max-age=1",
    "retry_after": "1",
    "x_negotiated_model": "text-1 true none",
    "idempotency_replay": "true",
    "x_should_retry": "true",
}
FORWARDED = {name.replace("_", "-"): value for name, value in HEADERS.items()}
MESSAGE = "none of the 1 text models is true: EMPTY, next"
ERROR = json.dumps({"error": {"message": MESSAGE}}).encode()

dummy = pytest.mark.parametrize("key", ["x", "EMPTY", "none", "text", "e", "1", "true"])


def heartbeat(upstream: Upstream, url: str, key: str, *, stream: bool) -> ProbeProgress:
    progress = ProbeProgress()
    Probe(upstream, StreamWatcher, within=30).run(
        a_provider(), Target("main", url, key=key), progress, "max_tokens", stream=stream
    )
    return progress


def stream(*frames: bytes) -> tuple[Piece, ...]:
    return (STREAM, *(chunk(frame) for frame in frames), END)


@dummy
def test_relays_a_stream(serve: Serve, upstream: Upstream, key: str) -> None:
    got: UpstreamResponse = send(upstream, serve(always(*stream(*BODY))), a_request(stream=True), key=key)

    assert got.is_stream
    assert b"".join(relay(iter(got.chunks), RequestLog(a_request(stream=True)))) == b"".join(BODY)


@dummy
def test_relays_a_json_answer_with_its_headers(serve: Serve, upstream: Upstream, key: str) -> None:
    body = completion(MESSAGE)
    got = send(upstream, serve(always(answer(200, body, **HEADERS))), key=key)

    assert got.headers == FORWARDED | {"content-type": "application/json"}
    assert read(got) == body


@dummy
def test_keeps_the_message_of_an_error(serve: Serve, upstream: Upstream, key: str) -> None:
    got = send(upstream, serve(always(answer(502, ERROR, **HEADERS))), key=key)

    assert got.headers["retry-after"] == "1"
    assert upstream_error(got.status, read(got), [key]).message.startswith(MESSAGE)


@dummy
def test_lists_models_unchanged(serve: Serve, upstream: Upstream, key: str) -> None:
    models = [{"id": "text-1", "owned_by": "EMPTY", "next": "none", "true": ["x"]}]
    server = serve(always(answer(body=json.dumps({"data": models}).encode())))

    assert list_models(upstream, Target("main", server.url, key=key)) == models


@dummy
@pytest.mark.parametrize("streams", [False, True], ids=["answer", "stream"])
def test_heartbeat_is_good(serve: Serve, upstream: Upstream, key: str, *, streams: bool) -> None:
    pieces = stream(*BODY) if streams else (answer(body=completion(model="echo")),)

    assert heartbeat(upstream, serve(always(*pieces)).url, key, stream=streams).model == "echo"


@dummy
def test_no_redactor_removes_the_key(key: str) -> None:
    redactor = Redactor()
    redactor.learn(key)

    assert {redact(MESSAGE, [key]), redact_secrets(MESSAGE, [key]), redactor(MESSAGE)} == {MESSAGE}
    assert redact_cut_secrets(f"no key: {key}", [key]) == f"no key: {key}"


def test_a_key_of_8_characters_is_redacted() -> None:
    key = "k" * MIN_KEY_CHARACTERS
    redactor = Redactor()
    redactor.learn(key)

    assert MIN_KEY_CHARACTERS == 8
    assert {redact(key, [key]), redact_secrets(key, [key]), redact_cut_secrets(key, [key]), redactor(key)} == {REDACTED}
