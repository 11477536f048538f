import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event

import pytest

from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.health import Outcome
from gateway.proxy.sse import StreamWatcher
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import Health, Provider
from tests.rehearsal import RunningTokenHub
from tests.scripted_server import DONE, END, HANG, STREAM, Cut, Piece, always, answer, chunk, in_turn
from tests.unit.gateway.builders import AT, KEY, a_provider, completion
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.ticking import GOOD_STREAM, LOGGER, timed_out

type Run = Callable[..., Outcome]

PENDING = a_provider()
HEALTHY = replace(PENDING, health=Health("healthy"))
CONTENT = b'data: {"model": "echo", "choices": [{"index": 0, "delta": {"content": "pong"}}]}\n\n'
FINISHED = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
ALL_FAILED = answer(502, b'{"error": {"message": "all providers failed"}}')
CAUSE = answer(502, b'{"error": {"message": "all providers failed for streaming: API error (status 401): no credit"}}')


def target_for(provider: Provider) -> Target:
    return Target(provider.id, provider.endpoint, provider.model, key=KEY)


@pytest.fixture
def run(patient_upstream: Upstream) -> Run:
    def run(endpoint: str, provider: Provider = PENDING, *, seconds: float = 30) -> Outcome:
        check = HeartbeatCheck(patient_upstream, target_for, now=lambda: AT, logger=LOGGER, seconds=seconds)
        return check.run(replace(provider, endpoint=endpoint), slot=None)

    return run


def streamed(*frames: bytes | float, end: Piece = END) -> tuple[Piece, ...]:
    return (STREAM, *(frame if isinstance(frame, float) else chunk(frame) for frame in frames), end)


def test_streams_to_a_pending_provider_and_counts_512_tokens(run: Run, serve: Serve) -> None:
    server = serve(always(GOOD_STREAM))
    outcome = run(server.url)
    assert (outcome.error, outcome.stream, outcome.model, outcome.tokens) == (None, True, "echo", 512)
    [received] = server.requests
    assert json.loads(received.body)["stream"] is True


def test_does_not_stream_to_a_healthy_provider(run: Run, serve: Serve) -> None:
    server = serve(always(answer(body=completion())))
    outcome = run(server.url, HEALTHY)
    assert (outcome.error, outcome.stream, outcome.ttft_ms, outcome.tokens) == (None, False, None, 11)
    assert "stream" not in json.loads(server.requests[0].body)


def test_ttft_ignores_comments(patient_upstream: Upstream, serve: Serve) -> None:
    fed = Event()

    class Watcher(StreamWatcher):
        def feed(self, chunk: bytes) -> bytes:
            if CONTENT in chunk:
                fed.set()
            return super().feed(chunk)

    pieces = (STREAM, chunk(b": wait\n\n"), 0.2, chunk(CONTENT), fed.wait, 1.0, chunk(FINISHED), chunk(DONE), END)
    check = HeartbeatCheck(patient_upstream, target_for, now=lambda: AT, logger=LOGGER, seconds=30, new_watcher=Watcher)
    outcome = check.run(replace(PENDING, endpoint=serve(always(*pieces)).url), slot=None)
    assert outcome.error is None
    assert 190 <= (outcome.ttft_ms or 0) <= outcome.latency_ms - 500


@pytest.mark.parametrize(
    "pieces",
    [
        streamed(CONTENT, DONE),
        streamed(CONTENT, FINISHED),
        streamed(CONTENT, DONE, end=Cut.RESET),
        streamed(CONTENT, DONE, end=HANG),
        streamed(b'event: message_start\ndata: {"type": "message_start", "message": {"model": "c"}}\n\n'
                 b'event: message_stop\ndata: {"type": "message_stop"}\n\n'),
    ],
    ids=["[DONE]", "a finish reason and a clean end", "a reset after the end marker", "a hang after it", "Anthropic"],
)  # fmt: skip
def test_a_complete_stream_is_good(run: Run, serve: Serve, pieces: tuple[Piece, ...]) -> None:
    assert run(serve(always(*pieces)).url).error is None


@pytest.mark.parametrize("frame", [CONTENT, FINISHED], ids=["another model", "no model"])
def test_prefers_the_model_that_tokenhub_negotiated(run: Run, serve: Serve, frame: bytes) -> None:
    head = STREAM.replace(b"\r\n\r\n", b"\r\nX-Negotiated-Model: gpt-4o\r\n\r\n")
    outcome = run(serve(always(head, chunk(frame), chunk(DONE), END)).url)
    assert (outcome.error, outcome.model) == (None, "gpt-4o")


PAGE = "The answer is a web page"
PROVIDERS_PAGE = "The answer wraps an error of a model's provider: a web page"
TRUNCATED = "The stream ended before its end marker"
WRAPPED = "The answer wraps an error of a model's provider: no credit"
IN_BAND = "The stream contains an error: no credit"


@pytest.mark.parametrize(
    ("pieces", "message", "tokens"),
    [
        (streamed(CONTENT), TRUNCATED, 512),
        (streamed(CONTENT, end=Cut.CLOSE), TRUNCATED, 512),
        (streamed(CONTENT, FINISHED, end=Cut.CLOSE), TRUNCATED, 512),
        (streamed(CONTENT, FINISHED[:-1]), TRUNCATED, 512),
        (streamed(CONTENT, b'data: {"error": {"message": "no credit."}}\n\n', DONE), IN_BAND, 512),
        (
            streamed(CONTENT, b'event: error\ndata: {"type": "error", "error": {"message": "no credit"}}\n\n'),
            IN_BAND,
            512,
        ),
        (streamed(b'data: {"error": "no credit"}\n\n', end=HANG), IN_BAND, 512),
        (streamed(f'data: {{"error": "{KEY}"}}\n\n'.encode()), "[redacted]", 512),
        (streamed(), "has no completion chunk", 512),
        (streamed(DONE), "has no completion chunk", 512),
        (streamed(end=Cut.CLOSE), "has no completion chunk", 512),
        (streamed(b'{"error": {"message": "no credit"}}'), WRAPPED, 512),
        (streamed(b"<html>"), PROVIDERS_PAGE, 512),
        ((answer(body=completion()),), "The answer to a streaming request is not a stream", None),
        ((answer(body=b'{"error": {"message": "no credit"}}'),), WRAPPED, None),
        ((answer(body=b"<!doctype html>", content_type="text/html"),), PAGE, None),
        ((answer(body=b""),), "The answer to a streaming request is not a stream", None),
    ],
)
def test_an_incomplete_stream_fails_and_costs_tokens_if_it_began(
    run: Run, serve: Serve, pieces: tuple[Piece, ...], message: str, tokens: int | None
) -> None:
    outcome = run(serve(always(*pieces)).url)
    assert (outcome.error or "").startswith("HTTP 200: ")
    assert message in (outcome.error or "")
    assert KEY not in (outcome.error or "")
    assert (outcome.tokens, outcome.model) == (tokens, None)


def test_a_rejected_stream_costs_nothing(run: Run, serve: Serve) -> None:
    outcome = run(serve(always(CAUSE)).url)
    assert outcome.error == (
        "HTTP 502: all providers failed for streaming: API error (status 401): no credit. "
        "Every model provider of TokenHub failed; the message has the last one's error. Correct it in TokenHub. "
        "After a restart of TokenHub, run `tokenhubctl vault unlock`."
    )
    assert outcome.tokens is None


def test_a_stream_that_times_out_costs_tokens(run: Run, serve: Serve) -> None:
    url = serve(always(*streamed(CONTENT, end=HANG))).url
    outcome = timed_out(lambda: run(url, seconds=2.5), 2.5)
    assert "began to answer but did not finish within 2.5 s" in (outcome.error or "")
    assert outcome.tokens == 512


def test_finds_the_cause_of_all_providers_failed_with_a_stream(run: Run, serve: Serve) -> None:
    server = serve(in_turn((ALL_FAILED,), (CAUSE,)))
    outcome = run(server.url, HEALTHY)
    assert "API error (status 401): no credit" in (outcome.error or "")
    assert (outcome.stream, outcome.tokens) == (False, None)
    assert [json.loads(request.body).get("stream") for request in server.requests] == [None, True]


@pytest.mark.parametrize(
    ("second", "tokens"),
    [
        ((GOOD_STREAM,), 512),
        ((answer(401, b"invalid api key"),), None),
        ((answer(502, b'{"error": {"message": "no eligible models registered"}}'),), None),
        (streamed(CONTENT), 512),
        ((Cut.CLOSE,), None),
        ((HANG,), None),
    ],
    ids=["good", "another error", "a cooldown", "a broken stream", "a closed connection", "a hang"],
)
def test_keeps_the_first_error_if_the_second_probe_hides_the_cause(
    run: Run, serve: Serve, second: tuple[Piece, ...], tokens: int | None
) -> None:
    server = serve(in_turn((ALL_FAILED,), second))
    outcome = run(server.url, HEALTHY, seconds=2.5 if second == (HANG,) else 30)
    assert outcome.error == (
        "HTTP 502: all providers failed. Every model provider of TokenHub failed. `tokenhubctl health` shows the cause."
    )
    assert outcome.tokens == tokens
    # A request on a kept connection that was closed without a response is sent once more.
    assert len(server.requests) == (3 if second == (Cut.CLOSE,) else 2)


@pytest.mark.parametrize("first", [answer(500, b"no"), answer(401, b"invalid api key"), answer(body=b"{}")])
def test_probes_once_for_other_failures(run: Run, serve: Serve, first: bytes) -> None:
    server = serve(always(first))
    assert run(server.url, HEALTHY).error
    assert run(server.url, PENDING).error
    assert len(server.requests) == 2


def test_probes_once_if_a_stream_reports_all_providers_failed(run: Run, serve: Serve) -> None:
    server = serve(always(CAUSE))
    assert run(server.url, PENDING).error
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("normal", None),
        ("slow", None),
        ("anthropic_stream", None),
        ("split", None),
        ("crlf", None),
        ("comments", None),
        ("large", None),
        ("tool_calls", None),
        ("cut_clean", TRUNCATED),
        ("cut_mid_frame", TRUNCATED),
        ("cut_reset", TRUNCATED),
        ("cut_close", TRUNCATED),
        ("wrapped_error", "The answer wraps an error of a model's provider: Incorrect API key provided"),
        ("wrapped_html", PROVIDERS_PAGE),
        ("error_in_band", "The stream contains an error: The server had an error"),
        ("html", PAGE),
        ("all_failed", "API error (status 401)"),
        ("no_models", "no eligible models registered"),
        ("budget", "Raise it in TokenHub"),
        ("refuse_key", "invalid api key"),
    ],
)
def test_reports_each_stream_mode_of_the_rehearsal_tokenhub(
    tokenhub: RunningTokenHub, patient_upstream: Upstream, mode: str, message: str | None
) -> None:
    tokenhub.rehearse(mode)
    check = HeartbeatCheck(patient_upstream, target_for, now=lambda: datetime.now(UTC), logger=LOGGER, seconds=30)
    error = check.run(replace(PENDING, endpoint=f"{tokenhub.url}/v1", model="echo"), slot=None).error
    assert error is None if message is None else message in (error or "")
