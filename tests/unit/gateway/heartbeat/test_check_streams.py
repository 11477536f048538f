import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.heartbeat.check import Beat
from gateway.heartbeat.health import Outcome
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import Health, Provider
from tests.rehearsal import RunningTokenHub
from tests.unit.gateway.builders import AT, KEY, a_provider, completion
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.servers import DONE, END, HANG, STREAM, Cut, Piece, always, answer, chunk, in_turn
from tests.unit.gateway.ticking import GOOD_STREAM, LOGGER

type Run = Callable[..., Outcome]

PENDING = a_provider()
HEALTHY = replace(PENDING, health=Health("healthy"))
SPOKEN = b'data: {"model": "echo", "choices": [{"index": 0, "delta": {"content": "pong"}}]}\n\n'
FINISHED = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
HIDDEN = answer(502, b'{"error": {"message": "all providers failed"}}')
TOLD = answer(502, b'{"error": {"message": "all providers failed for streaming: API error (status 401): no credit"}}')


def target_for(provider: Provider) -> Target:
    return Target(provider.id, provider.endpoint, provider.model, key=KEY)


@pytest.fixture
def run(patient_upstream: Upstream) -> Run:
    def run(endpoint: str, provider: Provider = PENDING, *, seconds: float = 3) -> Outcome:
        beat = Beat(patient_upstream, target_for, now=lambda: AT, logger=LOGGER, seconds=seconds)
        return beat.run(replace(provider, endpoint=endpoint), slot=None)

    return run


def streamed(*frames: bytes | float, end: Piece = END) -> tuple[Piece, ...]:
    return (STREAM, *(frame if isinstance(frame, float) else chunk(frame) for frame in frames), end)


def test_the_beat_of_a_pending_provider_is_a_stream_and_costs_what_tokenhub_books(run: Run, serve: Serve) -> None:
    server = serve(always(GOOD_STREAM))
    outcome = run(server.url)
    assert (outcome.error, outcome.stream, outcome.model, outcome.tokens) == (None, True, "echo", 512)
    [received] = server.received
    assert json.loads(received.body)["stream"] is True


def test_the_beat_of_another_provider_is_no_stream(run: Run, serve: Serve) -> None:
    server = serve(always(answer(body=completion())))
    outcome = run(server.url, HEALTHY)
    assert (outcome.error, outcome.stream, outcome.ttft_ms, outcome.tokens) == (None, False, None, 11)
    assert "stream" not in json.loads(server.received[0].body)


def test_the_time_to_the_first_token_is_that_of_the_first_data_and_not_of_a_comment(run: Run, serve: Serve) -> None:
    outcome = run(serve(always(*streamed(b": wait\n\n", 0.2, SPOKEN, 0.2, FINISHED, DONE))).url)
    assert outcome.error is None
    assert 190 <= (outcome.ttft_ms or 0) < 390 <= outcome.latency_ms


@pytest.mark.parametrize(
    "pieces",
    [
        streamed(SPOKEN, DONE),
        streamed(SPOKEN, FINISHED),
        streamed(SPOKEN, DONE, end=Cut.RESET),
        streamed(SPOKEN, DONE, end=HANG),
        streamed(b'event: message_start\ndata: {"type": "message_start", "message": {"model": "c"}}\n\n'
                 b'event: message_stop\ndata: {"type": "message_stop"}\n\n'),
    ],
    ids=["[DONE]", "a finish and a clean end", "a reset after the end mark", "a hang after it", "Anthropic's"],
)  # fmt: skip
def test_a_stream_that_is_whole_to_users_is_good(run: Run, serve: Serve, pieces: tuple[Piece, ...]) -> None:
    assert run(serve(always(*pieces)).url).error is None


@pytest.mark.parametrize("frame", [SPOKEN, FINISHED], ids=["another name", "no name"])
def test_the_model_of_a_stream_is_the_one_that_tokenhub_says_it_negotiated(
    run: Run, serve: Serve, frame: bytes
) -> None:
    head = STREAM.replace(b"\r\n\r\n", b"\r\nX-Negotiated-Model: gpt-4o\r\n\r\n")
    outcome = run(serve(always(head, chunk(frame), chunk(DONE), END)).url)
    assert (outcome.error, outcome.model) == (None, "gpt-4o")


PAGE = "a web page came instead of an answer"
PROVIDERS_PAGE = "a model provider's error came as an answer: a page that is no JSON"
BROKE = "the stream ended before its end mark"
WRAPPED = "a model provider's error came as an answer: no credit"
HELD = "the stream held an error: no credit"


@pytest.mark.parametrize(
    ("pieces", "words", "tokens"),
    [
        (streamed(SPOKEN), BROKE, 512),
        (streamed(SPOKEN, end=Cut.CLOSE), BROKE, 512),
        (streamed(SPOKEN, FINISHED, end=Cut.CLOSE), BROKE, 512),
        (streamed(SPOKEN, FINISHED[:-1]), BROKE, 512),
        (streamed(SPOKEN, b'data: {"error": {"message": "no credit."}}\n\n', DONE), HELD, 512),
        (streamed(SPOKEN, b'event: error\ndata: {"type": "error", "error": {"message": "no credit"}}\n\n'), HELD, 512),
        (streamed(b'data: {"error": "no credit"}\n\n', end=HANG), HELD, 512),
        (streamed(f'data: {{"error": "{KEY}"}}\n\n'.encode()), "[redacted]", 512),
        (streamed(), "held no chunk", 512),
        (streamed(DONE), "held no chunk", 512),
        (streamed(end=Cut.CLOSE), "held no chunk", 512),
        (streamed(b'{"error": {"message": "no credit"}}'), WRAPPED, 512),
        (streamed(b"<html>"), PROVIDERS_PAGE, 512),
        ((answer(body=completion()),), "a stream was asked for, and the answer is none", None),
        ((answer(body=b'{"error": {"message": "no credit"}}'),), WRAPPED, None),
        ((answer(body=b"<!doctype html>", content_type="text/html"),), PAGE, None),
        ((answer(body=b""),), "a stream was asked for, and the answer is none", None),
    ],
)
def test_any_other_stream_is_a_failure_and_costs_only_where_it_began(
    run: Run, serve: Serve, pieces: tuple[Piece, ...], words: str, tokens: int | None
) -> None:
    outcome = run(serve(always(*pieces)).url)
    assert (outcome.error or "").startswith("HTTP 200: ")
    assert words in (outcome.error or "")
    assert KEY not in (outcome.error or "")
    assert (outcome.tokens, outcome.model) == (tokens, None)


def test_a_stream_that_is_refused_costs_nothing(run: Run, serve: Serve) -> None:
    outcome = run(serve(always(TOLD)).url)
    assert outcome.error == (
        "HTTP 502: all providers failed for streaming: API error (status 401): no credit. "
        "Every provider behind TokenHub failed, the last one as it says here: set that right in TokenHub."
    )
    assert outcome.tokens is None


def test_a_stream_that_is_not_done_in_time_has_cost_its_tokens(run: Run, serve: Serve) -> None:
    outcome = run(serve(always(*streamed(SPOKEN, end=HANG))).url, seconds=0.3)
    assert "had begun to answer a ping, and was not done after 0.3 s" in (outcome.error or "")
    assert outcome.tokens == 512


def test_the_cause_behind_all_providers_failed_is_asked_for_by_a_stream(run: Run, serve: Serve) -> None:
    server = serve(in_turn((HIDDEN,), (TOLD,)))
    outcome = run(server.url, HEALTHY)
    assert "API error (status 401): no credit" in (outcome.error or "")
    assert (outcome.stream, outcome.tokens) == (False, None)
    assert [json.loads(request.body).get("stream") for request in server.received] == [None, True]


@pytest.mark.parametrize(
    ("second", "tokens"),
    [
        ((GOOD_STREAM,), 512),
        ((answer(401, b"invalid api key"),), None),
        ((answer(502, b'{"error": {"message": "no eligible models registered"}}'),), None),
        (streamed(SPOKEN), 512),
        ((Cut.CLOSE,), None),
        ((HANG,), None),
    ],
    ids=["good", "another refusal", "a cooldown", "a broken stream", "a closed connection", "a hang"],
)
def test_where_the_second_beat_hides_the_cause_the_words_of_the_first_stay(
    run: Run, serve: Serve, second: tuple[Piece, ...], tokens: int | None
) -> None:
    server = serve(in_turn((HIDDEN,), second))
    outcome = run(server.url, HEALTHY, seconds=0.5)
    assert outcome.error == (
        "HTTP 502: all providers failed. Every provider behind TokenHub failed: look at TokenHub's log for the cause."
    )
    assert outcome.tokens == tokens
    assert len(server.received) == 2


@pytest.mark.parametrize("first", [answer(500, b"no"), answer(401, b"invalid api key"), answer(body=b"{}")])
def test_no_other_failure_is_asked_twice(run: Run, serve: Serve, first: bytes) -> None:
    server = serve(always(first))
    assert run(server.url, HEALTHY).error
    assert run(server.url, PENDING).error
    assert len(server.received) == 2


def test_all_providers_failed_in_a_stream_is_not_asked_twice(run: Run, serve: Serve) -> None:
    server = serve(always(TOLD))
    assert run(server.url, PENDING).error
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("normal", None),
        ("slow", None),
        ("anthropic_stream", None),
        ("split", None),
        ("crlf", None),
        ("comments", None),
        ("large", None),
        ("tool_calls", None),
        ("cut_clean", BROKE),
        ("cut_mid_frame", BROKE),
        ("cut_reset", BROKE),
        ("cut_close", BROKE),
        ("wrapped_error", "a model provider's error came as an answer: Incorrect API key provided"),
        ("wrapped_html", PROVIDERS_PAGE),
        ("html", PAGE),
        ("all_failed", "API error (status 401)"),
        ("no_models", "no eligible models registered"),
        ("budget", "raise it in TokenHub"),
        ("refuse_key", "invalid api key"),
    ],
)
def test_a_stream_of_the_rehearsal_tokenhub_is_judged_as_users_see_it(
    tokenhub: RunningTokenHub, patient_upstream: Upstream, mode: str, words: str | None
) -> None:
    tokenhub.rehearse(mode)
    beat = Beat(patient_upstream, target_for, now=lambda: datetime.now(UTC), logger=LOGGER, seconds=3)
    error = beat.run(replace(PENDING, endpoint=f"{tokenhub.url}/v1", model="echo"), slot=None).error
    assert error is None if words is None else words in (error or "")
