import gc
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.health import Outcome
from gateway.proxy.settings import Limits
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import Health, HeartbeatSettings, Provider
from tests.rehearsal import KEY as HUB_KEY
from tests.rehearsal import RunningTokenHub
from tests.scripted_server import HANG, Cut, Piece, ScriptedServer, always, answer
from tests.unit.gateway.builders import AT, KEY, a_provider, completion
from tests.unit.gateway.certificates import server_context
from tests.unit.gateway.conftest import MakeUpstream, Serve
from tests.unit.gateway.sending import assert_released
from tests.unit.gateway.ticking import LOGGER

type Run = Callable[..., Outcome]

# No stream is due.
HEALTHY = a_provider(health=Health("healthy"))


def target_for(provider: Provider) -> Target:
    return Target(provider.id, provider.endpoint, provider.model, key=KEY)


@pytest.fixture
def run(patient_upstream: Upstream) -> Run:
    def run(endpoint: str, *, seconds: float = 30, slot: str | None = None, **changes: Any) -> Outcome:
        provider = replace(HEALTHY, endpoint=endpoint, **changes)
        check = HeartbeatCheck(patient_upstream, target_for, now=lambda: AT, logger=LOGGER, seconds=seconds)
        return check.run(provider, slot=slot)

    return run


def run_against(run: Run, serve: Serve, *pieces: Piece, **options: object) -> Outcome:
    return run(serve(always(*pieces)).url, **options)


def error_of(outcome: Outcome) -> str:
    assert outcome.error is not None
    assert KEY not in outcome.error
    assert outcome.model is None
    return outcome.error


def test_sends_one_small_chat_completion_without_an_idempotency_key(run: Run, serve: Serve) -> None:
    server: ScriptedServer = serve(always(answer(body=completion())))
    outcome = run(server.url, slot="s")
    assert outcome == Outcome(AT, outcome.latency_ms, model="echo", tokens=11, slot="s")
    (received,) = server.requests
    assert received.target == "/v1/chat/completions"
    assert json.loads(received.body) == {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 16}
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"] == "tokenhub-gateway"
    assert received.headers["x-request-id"].startswith("hb-main-")
    assert "idempotency-key" not in received.headers


def test_each_beat_has_a_unique_request_id(run: Run, serve: Serve) -> None:
    server: ScriptedServer = serve(always(answer(body=completion())))
    run(server.url)
    run(server.url)
    first, second = (received.headers["x-request-id"] for received in server.requests)
    assert first != second


@pytest.mark.parametrize(
    ("model", "heartbeat", "expected"),
    [
        (None, HeartbeatSettings(), {"max_tokens": 16}),
        ("echo", HeartbeatSettings(), {"max_tokens": 16, "model": "echo"}),
        ("echo", HeartbeatSettings(model="small", max_tokens=5), {"max_tokens": 5, "model": "small"}),
    ],
)
def test_uses_the_heartbeats_model_or_else_the_providers(
    run: Run, serve: Serve, model: str | None, heartbeat: HeartbeatSettings, expected: dict[str, object]
) -> None:
    server: ScriptedServer = serve(always(answer(body=completion())))
    run(server.url, model=model, heartbeat=heartbeat)
    body = json.loads(server.requests[0].body)
    del body["messages"]
    assert body == expected


def test_latency_includes_the_whole_answer(run: Run, serve: Serve) -> None:
    body = answer(body=completion())
    outcome = run_against(run, serve, 0.1, body[:-5], 0.1, body[-5:])
    assert 190 <= outcome.latency_ms < 10_000


@pytest.mark.parametrize(
    ("body", "model", "tokens"),
    [
        (completion(), "echo", 11),
        (completion(""), "echo", 11),
        (completion(None), "echo", 11),
        (completion('{"error": "the user wants this text"}'), "echo", 11),
        (completion("pong", usage=None), "echo", None),
        (completion("{ no json", usage=None), "echo", None),
        (completion('{"answer": "error"}', usage=None), "echo", None),
        (completion(model=None), None, 11),
        (completion(model=7), None, 11),
        (b'{"choices": [{"finish_reason": "length"}]}', None, None),
        (b'{"choices": [7]}', None, None),
    ],
)
def test_any_completion_with_a_choice_is_good(
    run: Run, serve: Serve, body: bytes, model: str | None, tokens: int | None
) -> None:
    outcome = run_against(run, serve, answer(body=body))
    assert (outcome.error, outcome.model, outcome.tokens) == (None, model, tokens)


@pytest.mark.parametrize(
    ("negotiated", "body", "model"),
    [
        ("gpt-4o", completion(model="gpt-4o-2024-08-06"), "gpt-4o"),
        ("gpt-4o", completion(model=None), "gpt-4o"),
        ("", completion(), "echo"),
        (KEY, completion(), "[redacted]"),
        ("tokenhub_auto", completion(), "tokenhub_auto"),
    ],
)
def test_prefers_the_model_that_tokenhub_negotiated(
    run: Run, serve: Serve, negotiated: str, body: bytes, model: str
) -> None:
    assert run_against(run, serve, answer(body=body, x_negotiated_model=negotiated)).model == model


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"pong", "not JSON"),
        (b"<html>", "a web page"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "no choices"),
        (b"[]", "no choices"),
        (b'{"choices": []}', "no choices"),
        (b'{"choices": {"0": {}}}', "no choices"),
        (b'{"object": "list", "data": []}', "no choices"),
        (completion('{"error": {"message": "no credit"}}', usage=None), "no credit"),
        (completion('\n {"type": "error", "error": "no credit"}', usage=None), "no credit"),
        (completion("<!doctype html><title>no credit</title>", usage=None), "a web page"),
        (completion(f'{{"error": "{KEY}"}}', usage=None), "[redacted]"),
        (completion('{"error": "' + "x" * 5000 + '"}', usage=None), "x" * 500),
        (b" " * (1024 * 1024 + 1), "larger than 1 MB"),
    ],
)
def test_a_200_without_a_completion_fails(run: Run, serve: Serve, body: bytes, message: str) -> None:
    error = error_of(run_against(run, serve, answer(body=body)))
    assert error.startswith("HTTP 200: ")
    assert message in error
    assert error.count("x") < 510


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, b"invalid api key\n", "HTTP 401: invalid api key. TokenHub refuses the registered key"),
        (
            429,
            b'{"budget_usd": 10, "error": "monthly budget exceeded", "spent_usd": 10.42}',
            "HTTP 429: monthly budget exceeded (budget_usd 10, spent_usd 10.42). The budget of the registered key",
        ),
        (
            502,
            b'{"error": {"message": "all providers failed"}}',
            "HTTP 502: all providers failed. Every model provider",
        ),
        (500, b"", "HTTP 500. TokenHub failed"),
        (204, b"", "HTTP 204. A chat completion has status 200. Check that TokenHub listens there."),
        (202, b'{"error": "queued."}', "HTTP 202: queued. A chat completion has status 200."),
        (203, b"<html>", "HTTP 203: The answer is a web page"),
        (206, KEY.encode(), "HTTP 206: [redacted]. A chat completion has status 200"),
        (503, KEY.encode(), "HTTP 503: [redacted]"),
    ],
)
def test_an_error_has_the_status_the_message_and_a_remedy(
    run: Run, serve: Serve, status: int, body: bytes, message: str
) -> None:
    assert error_of(run_against(run, serve, answer(status, body))).startswith(message)


def test_names_what_keeps_it_from_reaching_the_provider(run: Run, serve: Serve, certificate: Path) -> None:
    assert "refused the connection" in error_of(run("http://127.0.0.1:9/v1"))
    assert "host name" in error_of(run("http://nosuch.invalid/v1"))
    assert "redirects" in error_of(run_against(run, serve, answer(302, location="http://127.0.0.1:9")))
    assert "closed the connection" in error_of(run_against(run, serve, Cut.CLOSE))
    assert "ended before it was complete" in error_of(
        run_against(run, serve, answer(body=completion())[:-5], Cut.CLOSE)
    )
    assert "certificate" in error_of(run(serve(always(HANG), tls=server_context(certificate)).url))


@pytest.mark.parametrize(
    "pieces",
    [
        (HANG,),
        (0.2, answer(body=completion())[:-5], HANG),
        tuple(piece for _ in range(600) for piece in (b"H", 0.05)),
        (answer(body=completion())[:-40], *(piece for _ in range(600) for piece in (b" ", 0.05))),
    ],
    ids=["no head", "half a body", "a head a byte at a time", "a body a byte at a time"],
)
def test_fails_a_slow_provider_at_the_time_limit(run: Run, serve: Serve, pieces: tuple[Piece, ...]) -> None:
    began = time.monotonic()
    error = error_of(run_against(run, serve, *pieces, seconds=0.25))
    assert 0.2 < time.monotonic() - began < 10
    # On a machine that stalls, the timeout of the connection may come first, a second later.
    assert "0.25 s" in error or "1.25 s" in error


@pytest.mark.parametrize(
    "piece",
    [
        answer(body=b" " * (1024 * 1024 + 1)),
        answer(body=b" " * (3 * 1024 * 1024)),
        answer(502, b"no"),
        answer(body=b"{}"),
        answer(302, location="http://127.0.0.1:9"),
        answer(body=completion())[:-5],
    ],
    ids=["over 1 MB", "well over 1 MB", "refused", "no choices", "redirect", "cut"],
)
def test_releases_every_connection(make_upstream: MakeUpstream, serve: Serve, piece: bytes) -> None:
    # A garbage collector that closes a response while it holds httpcore's lock would deadlock.
    upstream, server = make_upstream(Limits()), serve(always(piece, Cut.CLOSE))
    gc.disable()
    try:
        check = HeartbeatCheck(upstream, target_for, now=lambda: AT, logger=LOGGER, seconds=30)
        outcome = check.run(replace(HEALTHY, endpoint=server.url), slot=None)
        assert outcome.error
        assert_released(upstream)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [({"prompt_tokens": 10**40}, None), ({"prompt_tokens": -1, "completion_tokens": 3}, 3), ("many", None)],
)
def test_treats_invalid_token_counts_as_missing(run: Run, serve: Serve, usage: object, tokens: int | None) -> None:
    assert run_against(run, serve, answer(body=completion(usage=usage))).tokens == tokens


def test_shortens_a_model_name_that_dynamodb_would_reject(run: Run, serve: Serve) -> None:
    outcome = run_against(run, serve, answer(body=b'{"choices": [{}], "model": "\\ud800' + b"x" * 500_000 + b'"}'))
    assert outcome.error is None
    assert len((outcome.model or "").encode()) < 5000


REHEARSAL_MODES = [
    ("normal", None),
    ("no_models", "no eligible models registered"),
    ("all_failed", "all providers failed for streaming: API error (status 401): {"),
    ("budget", "monthly budget exceeded"),
    ("rate_limit", "rate limit exceeded"),
    ("key_rate_limit", "api key rate limit exceeded"),
    ("refuse_key", "invalid api key"),
    ("no_scope", "insufficient scope"),
    ("wrapped_error", "The answer wraps an error of a model's provider"),
    ("wrapped_html", "The answer wraps an error of a model's provider"),
    ("html", "a web page"),
    ("panic", "HTTP 500"),
    ("cut_clean", "not JSON"),
    ("cut_close", "ended before it was complete"),
    ("other_model", None),
    ("echo_key", None),
    ("echo_key_error", "[redacted]"),
]


@pytest.mark.parametrize(("mode", "message"), REHEARSAL_MODES)
def test_reports_each_mode_of_the_rehearsal_tokenhub(
    tokenhub: RunningTokenHub, patient_upstream: Upstream, mode: str, message: str | None
) -> None:
    tokenhub.rehearse(mode)

    def with_key(provider: Provider) -> Target:
        return replace(target_for(provider), key=HUB_KEY)

    check = HeartbeatCheck(patient_upstream, with_key, now=lambda: datetime.now(UTC), logger=LOGGER, seconds=30)
    error = check.run(replace(HEALTHY, endpoint=tokenhub.url + "/v1", model="echo"), slot=None).error
    assert HUB_KEY not in (error or "")
    assert error is None if message is None else message in (error or "")
