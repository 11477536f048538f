"""Models that refuse `max_tokens`, such as OpenAI's reasoning models."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.health import Outcome, next_health
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import Health, HeartbeatSettings, Provider
from tests.scripted_server import HANG, Pieces, Request, answer
from tests.unit.gateway.builders import AT, KEY, a_provider, completion
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.ticking import GOOD_STREAM, LOGGER, timed_out

REFUSAL = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
DIRECT = (answer(400, f'{{"error": {{"message": "{REFUSAL}", "param": "max_tokens"}}}}'.encode()),)
ALL_FAILED = (answer(502, b'{"error": {"message": "all providers failed"}}'),)
BY_TOKENHUB = (
    answer(
        502,
        f'{{"error": {{"message": "all providers failed for streaming: API error (status 400): {REFUSAL}"}}}}'.encode(),
    ),
)
HEALTHY = a_provider(health=Health("healthy"))


def fields_of(request: Request) -> list[str]:
    return sorted(request.json().keys() & {"max_tokens", "max_completion_tokens"})


def refusing(whole: Pieces, stream: Pieces) -> Callable[[Request], Pieces]:
    """The script of a provider that refuses `max_tokens`."""

    def script(request: Request) -> Pieces:
        asked = request.json()
        if "max_tokens" in asked:
            return stream if asked.get("stream") else whole
        return (GOOD_STREAM if asked.get("stream") else answer(body=completion()),)

    return script


def check(upstream: Upstream, *, seconds: float = 30) -> HeartbeatCheck:
    def target_for(provider: Provider) -> Target:
        return Target(provider.id, provider.endpoint, key=KEY)

    return HeartbeatCheck(upstream, target_for, now=lambda: AT, logger=LOGGER, seconds=seconds)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("refusal", ["direct", "by TokenHub"])
def test_repeats_with_the_other_field_and_remembers_it_for_the_version(
    patient_upstream: Upstream, serve: Serve, refusal: str, stream: bool
) -> None:
    script = refusing(DIRECT, DIRECT) if refusal == "direct" else refusing(ALL_FAILED, BY_TOKENHUB)
    server = serve(script)
    provider = replace(HEALTHY, endpoint=server.url, health=Health("pending" if stream else "healthy"))

    first = check(patient_upstream).run(provider, slot=None)
    sent = len(server.requests)
    health = replace(next_health(provider.health, first), status=provider.health.status, beats_since_stream=0)
    second = check(patient_upstream).run(replace(provider, health=health), slot=None)

    assert (first.error, second.error) == (None, None)
    assert first.max_tokens_refused_version == "v1"
    assert [fields_of(request) for request in server.requests[sent - 1 :]] == [["max_completion_tokens"]] * 2
    assert server.requests[-1].json()["max_completion_tokens"] == 16
    assert next_health(health, second).max_tokens_refused_version == "v1"


def test_another_version_tries_max_tokens_again(patient_upstream: Upstream, serve: Serve) -> None:
    server = serve(refusing(DIRECT, DIRECT))
    health = Health("healthy", max_tokens_refused_version="v0")

    check(patient_upstream).run(replace(HEALTHY, endpoint=server.url, health=health), slot=None)

    assert [fields_of(request) for request in server.requests] == [["max_tokens"], ["max_completion_tokens"]]


def test_returns_to_max_tokens_if_the_model_refuses_the_other_field(patient_upstream: Upstream, serve: Serve) -> None:
    refusal = answer(400, b'{"error": "Unknown field: max_completion_tokens"}')
    server = serve(lambda request: (refusal if fields_of(request) != ["max_tokens"] else answer(body=completion()),))
    health = Health("healthy", max_tokens_refused_version="v1")

    outcome = check(patient_upstream).run(replace(HEALTHY, endpoint=server.url, health=health), slot=None)

    assert (outcome.error, outcome.max_tokens_refused_version) == (None, None)
    assert [fields_of(request) for request in server.requests] == [["max_completion_tokens"], ["max_tokens"]]


@pytest.mark.parametrize(
    ("second", "error"),
    [
        (answer(400, b'{"error": "max_completion_tokens is unknown"}'), "max_tokens' is not supported"),
        (answer(401, b"invalid api key"), "HTTP 401: invalid api key"),
        (HANG, "did not answer within 2.5 s"),
    ],
)
def test_a_failed_repetition_is_not_remembered(
    patient_upstream: Upstream, serve: Serve, second: bytes | float, error: str
) -> None:
    server = serve(lambda request: DIRECT if "max_tokens" in request.json() else (second,))

    seconds = 2.5 if second is HANG else 30

    def beat() -> Outcome:
        server.requests.clear()
        return check(patient_upstream, seconds=seconds).run(replace(HEALTHY, endpoint=server.url), slot=None)

    outcome = timed_out(beat, seconds)

    assert error in (outcome.error or "")
    assert outcome.max_tokens_refused_version is None
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "body", [b'{"error": "messages is required"}', b'{"error": "max_tokens_per_day is spent"}', b""]
)
def test_does_not_repeat_another_bad_request(patient_upstream: Upstream, serve: Serve, body: bytes) -> None:
    server = serve(lambda _: (answer(400, body),))

    assert check(patient_upstream).run(replace(HEALTHY, endpoint=server.url), slot=None).error
    assert len(server.requests) == 1


def test_sends_no_limit_if_max_tokens_is_null(patient_upstream: Upstream, serve: Serve) -> None:
    server = serve(lambda _: DIRECT)
    provider = replace(HEALTHY, endpoint=server.url, heartbeat=HeartbeatSettings(max_tokens=None))

    assert check(patient_upstream).run(provider, slot=None).error
    assert [fields_of(request) for request in server.requests] == [[]]
