"""Failures of docs/tokenhub.md 1.4 and of the transport: status, code, source, exception and number of attempts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from tests.e2e.conftest import SDK_TIMEOUT_S, Gateway
from tests.e2e.failure_table import FAULTS, OUTCOMES, TOKENHUB, Outcome, gateway, provider
from tests.local_system import free_ports
from tests.rehearsal import KEY, RunningTokenHub
from tests.scripted_server import Pieces, Request, ScriptedServer
from tests.unit.gateway import certificates

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PARAMETERS = "ConnectSeconds=1 FirstByteSeconds=1.5 StreamIdleSeconds=1 WholeSeconds=2.5 KeepAliveSeconds=0.5"

both = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


def play(request: Request) -> Pieces:
    asked = request.json()
    streamed, whole = FAULTS[asked["model"]]
    return streamed if asked.get("stream") else whole


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedServer]:
    with ScriptedServer(play) as running:
        yield running


@pytest.fixture(scope="module")
def unknown_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    path: Path = certificates.write(tmp_path_factory.mktemp("certificate") / "own.pem", address="127.0.0.1")
    with ScriptedServer(play, certificates.server_context(path)) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def _registered(
    gateway: Gateway, strict_tokenhub: RunningTokenHub, upstream: ScriptedServer, unknown_certificate: ScriptedServer
) -> None:
    url = f"{strict_tokenhub.url}/v1"
    gateway.register("tokenhub", url, api_key="tokenhub_" + 64 * "0")
    gateway.register("keyless", url)
    gateway.register("wrong-format", url, api_key=KEY)
    gateway.register("wrong-key", url, api_key="tokenhub_none")
    gateway.register("raw", upstream.url)
    [port] = free_ports(1)
    gateway.register("refused", f"http://127.0.0.1:{port}/v1")
    gateway.register("unknown-host", "http://tokenhub.invalid/v1")
    gateway.register("no-tls", upstream.url.replace("http:", "https:"))
    gateway.register("unknown-certificate", unknown_certificate.url)


@pytest.fixture(scope="module")
def sdk(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.token, timeout=SDK_TIMEOUT_S) as client:
        yield client


def ask(sdk: openai.OpenAI, provider_id: str, model: str, *, stream: bool) -> Outcome:
    """Returns the outcome of a call. The number of requests is 0."""
    try:
        raw = sdk.chat.completions.with_raw_response.create(
            model=model,
            messages=[{"role": "user", "content": "a"}],
            stream=stream,
            extra_headers={"X-Provider-Id": provider_id},
        )
        answer = raw.parse()
        if isinstance(answer, openai.Stream):
            list(answer)
    except openai.APIStatusError as error:
        received = error.response.headers
        source, headers = received.get("x-error-source"), tuple(received.items())
        return Outcome(type(error), error.status_code, error.code, source, 0, headers=headers)
    except openai.APIError as error:
        body = error.body if isinstance(error.body, dict) else {}
        return Outcome(type(error), body["status"], error.code, body["source"], 0, in_band=True)
    return Outcome(None, raw.http_response.status_code, None, None, 0, headers=tuple(raw.headers.items()))


def check(seen: Outcome, expected: Outcome, requests: int) -> None:
    assert set(expected.headers) <= set(seen.headers)
    assert replace(seen, requests=requests, headers=()) == replace(expected, headers=())


@both
@pytest.mark.parametrize("mode", TOKENHUB)
def test_returns_the_documented_error_for_each_tokenhub_failure(
    sdk: openai.OpenAI, tokenhub: RunningTokenHub, mode: str, stream: bool
) -> None:
    expected = TOKENHUB[mode][0 if stream else 1]
    if expected is None:
        pytest.skip("a stream only")

    seen = ask(sdk, "tokenhub", f"rehearse/{mode}", stream=stream)

    check(seen, expected, len(tokenhub.requests))


KEYS = {"keyless": "provider_key_refused", "wrong-format": "provider_key_invalid", "wrong-key": "provider_key_refused"}


@both
@pytest.mark.parametrize("provider_id", KEYS)
def test_returns_the_documented_error_for_each_refused_key(
    sdk: openai.OpenAI, tokenhub: RunningTokenHub, provider_id: str, stream: bool
) -> None:
    seen = ask(sdk, provider_id, "echo", stream=stream)

    check(seen, provider(openai.AuthenticationError, 401, KEYS[provider_id]), len(tokenhub.requests))


@both
def test_returns_tokenhubs_error_for_a_request_without_messages(
    sdk: openai.OpenAI, tokenhub: RunningTokenHub, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.chat.completions.create(model="echo", messages=[], stream=stream)

    assert (caught.value.code, len(tokenhub.requests)) == ("provider_bad_request", 1)
    assert "messages is required" in caught.value.message


def test_rejects_a_body_that_is_not_json(gateway: Gateway, tokenhub: RunningTokenHub) -> None:
    with gateway.client() as client:
        answer = client.post("/v1/chat/completions", content=b'{"stream": true')

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert answer.headers["x-error-source"] == "gateway"
    assert tokenhub.requests == []


@both
def test_reports_the_substitute_of_an_unknown_model(
    sdk: openai.OpenAI, tokenhub: RunningTokenHub, stream: bool
) -> None:
    seen = ask(sdk, "tokenhub", "nobody/knows", stream=stream)

    assert (seen.error, dict(seen.headers)["x-model-substituted"]) == (None, "true")


@pytest.fixture(scope="module")
def claude(gateway: Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, auth_token=gateway.token, timeout=SDK_TIMEOUT_S) as client:
        yield client


ANTHROPIC: dict[tuple[str, bool], tuple[type[anthropic.APIStatusError], str, int]] = {
    ("refuse_key", True): (anthropic.AuthenticationError, "provider_key_refused", 1),
    # TokenHub relays the status of its model provider here.
    ("all_failed", False): (anthropic.AuthenticationError, "model_access_refused", 1),
    ("all_failed", True): (anthropic.AuthenticationError, "model_access_refused", 1),
    ("budget", False): (anthropic.RateLimitError, "provider_budget_spent", 1),
    ("no_providers", False): (anthropic.InternalServerError, "provider_error", 3),
    ("panic", True): (anthropic.InternalServerError, "provider_error", 3),
    ("html", True): (anthropic.InternalServerError, "not_a_stream", 1),
    ("cut_clean", True): (anthropic.APIStatusError, "stream_truncated", 1),
    ("cut_reset", False): (anthropic.InternalServerError, "answer_truncated", 3),
}


@pytest.mark.parametrize(("mode", "stream"), ANTHROPIC)
def test_anthropic_sdk_raises_on_each_failure(
    claude: anthropic.Anthropic, tokenhub: RunningTokenHub, mode: str, stream: bool
) -> None:
    error, code, requests = ANTHROPIC[mode, stream]
    with pytest.raises(error) as caught:
        list(
            claude.messages.create(
                model=f"rehearse/{mode}", max_tokens=9, messages=[{"role": "user", "content": "a"}], stream=stream
            )
        )

    assert isinstance(caught.value.body, dict)
    assert (caught.value.body["type"], caught.value.body["error"]["code"]) == ("error", code)
    assert len(tokenhub.requests) == requests


UNREACHABLE = ("refused", "unknown-host", "no-tls", "unknown-certificate")


@both
@pytest.mark.parametrize("provider_id", UNREACHABLE)
def test_returns_the_documented_error_for_each_unreachable_provider(
    sdk: openai.OpenAI, upstream: ScriptedServer, unknown_certificate: ScriptedServer, provider_id: str, stream: bool
) -> None:
    for each in (upstream, unknown_certificate):
        each.requests.clear()

    seen = ask(sdk, provider_id, "any", stream=stream)

    check(seen, gateway(502, "provider_unreachable", 0), len(upstream.requests + unknown_certificate.requests))


@both
@pytest.mark.parametrize("fault", FAULTS)
def test_returns_the_documented_error_for_each_transport_fault(
    sdk: openai.OpenAI, upstream: ScriptedServer, fault: str, stream: bool
) -> None:
    upstream.requests.clear()

    seen = ask(sdk, "raw", fault, stream=stream)

    check(seen, OUTCOMES[fault][0 if stream else 1], len(upstream.requests))


def test_sends_keep_alives_before_a_late_error_frame(gateway: Gateway, upstream: ScriptedServer) -> None:
    body = {"model": "silent before the head", "messages": [], "stream": True}
    with gateway.client(**{"X-Provider-Id": "raw"}) as client:
        answer = client.post("/v1/chat/completions", json=body)

    *comments, data, event, blank, end = answer.text.split("\n")
    assert (answer.status_code, event, blank, end) == (200, "event: error", "", "")
    assert comments == [": keep-alive"] * len(comments)
    assert len(comments) >= 2
    assert data.startswith('data: {"error": {')


def test_does_not_follow_a_redirect_with_the_key(gateway: Gateway, upstream: ScriptedServer) -> None:
    upstream.requests.clear()
    with gateway.client(**{"X-Provider-Id": "raw"}) as client:
        client.post("/v1/chat/completions", json={"model": "a redirect", "messages": []})

    assert [request.target for request in upstream.requests] == ["/v1/chat/completions"]


def test_enforces_the_time_limits(gateway: Gateway) -> None:
    with gateway.client(**{"X-Provider-Id": "raw"}) as client:
        for fault, seconds in {"silent after the head": 1.0, "too long": 2.5}.items():
            answer = client.post("/v1/chat/completions", json={"model": fault, "messages": [], "stream": True})
            assert answer.elapsed.total_seconds() == pytest.approx(seconds, abs=1.0)


def test_keeps_tokenhubs_message_without_its_key(gateway: Gateway) -> None:
    with gateway.client() as client:
        answer: httpx.Response = client.post(
            "/v1/chat/completions", json={"model": "rehearse/echo_key_error", "messages": [{"role": "user"}]}
        )

    assert "all providers failed" in answer.json()["error"]["message"]
    assert 64 * "0" not in answer.text + str(answer.headers)
