"""Streams through the deployed system, read by real clients: order, bytes and arrival times of the chunks."""

import subprocess
import time
from collections.abc import Iterator

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from tests.integration.conftest import Register
from tests.local_system import LocalSystem
from tests.rehearsal import RunningTokenHub, chat_body

PAUSE_S = 0.5


@pytest.fixture
def sdk(system: LocalSystem, register: Register) -> Iterator[openai.OpenAI]:
    register(heartbeat={"enabled": False})
    with openai.OpenAI(base_url=f"{system.url}/v1", api_key=system.token("client")) as client:
        yield client


@pytest.fixture
def warm(http: httpx.Client, register: Register, tokenhub: RunningTokenHub) -> httpx.Client:
    register(heartbeat={"enabled": False})
    http.post("/v1/chat/completions", json=chat_body()).raise_for_status()
    tokenhub.reset()
    return http


def arrivals(http: httpx.Client) -> list[tuple[float, bytes]]:
    with http.stream("POST", "/v1/chat/completions", json=chat_body("a b c d e", stream=True)) as response:
        assert response.headers["content-type"] == "text/event-stream"
        return [(time.monotonic(), data) for data in response.iter_raw()]


def test_delivers_each_token_when_tokenhub_sends_it(warm: httpx.Client, tokenhub: RunningTokenHub) -> None:
    # A busy machine may be late, but not three times.
    assert any(each_token_arrives_in_time(warm, tokenhub) for _ in range(3))


def each_token_arrives_in_time(http: httpx.Client, tokenhub: RunningTokenHub) -> bool:
    """Returns whether each chunk of a stream arrived before TokenHub sent the next one."""
    tokenhub.reset()
    tokenhub.rehearse("slow", delay_ms=int(PAUSE_S * 1000))

    received = arrivals(http)

    assert b"".join(data for _, data in received) == b"".join(data for _, data in tokenhub.sent)
    assert len(tokenhub.sent) >= 6
    # Chunks that were delayed may arrive as one.
    if [data for _, data in received] != [data for _, data in tokenhub.sent]:
        return False
    return all(arrived - sent < PAUSE_S for (arrived, _), (sent, _) in zip(received, tokenhub.sent, strict=True))


@pytest.mark.parametrize("mode", ["normal", "split", "crlf", "comments", "tool_calls", "large"])
def test_returns_every_kind_of_stream_unchanged(warm: httpx.Client, tokenhub: RunningTokenHub, mode: str) -> None:
    tokenhub.rehearse(mode)

    received = arrivals(warm)

    sent = b"".join(data for _, data in tokenhub.sent)
    # The end mark always has the same form, and nothing follows it.
    frames, _, _ = sent.partition(b"data: [DONE]")
    assert b"".join(data for _, data in received) == frames + b"data: [DONE]\n\n"


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "rehearse/anthropic_stream"])
def test_openai_sdk_reads_a_stream_of_an_anthropic_model(sdk: openai.OpenAI, model: str) -> None:
    response = sdk.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": "Grüße, 東京 🚀"}], stream=True
    )

    assert response.headers["x-translated"] == "anthropic"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in response.parse()) == "Grüße, 東京 🚀"


def test_returns_a_json_answer_unchanged(warm: httpx.Client, tokenhub: RunningTokenHub) -> None:
    through = warm.post("/v1/chat/completions", json=chat_body("unchanged"))
    headers = {"Authorization": "Bearer key", "X-Request-ID": through.headers["x-request-id"]}
    direct = httpx.post(
        f"{tokenhub.url}/v1/chat/completions", json=chat_body("unchanged"), headers=headers, trust_env=False
    )

    assert through.json() | {"created": 0} == direct.json() | {"created": 0}
    assert through.headers["content-type"] == direct.headers["content-type"]


def test_openai_sdk_works_with_and_without_streaming(sdk: openai.OpenAI) -> None:
    question: ChatCompletionUserMessageParam = {"role": "user", "content": "Grüße, 東京 🚀"}

    whole = sdk.chat.completions.create(model="gpt-4o", messages=[question])
    stream = sdk.chat.completions.create(model="gpt-4o", messages=[question], stream=True)

    assert whole.choices[0].message.content == "Grüße, 東京 🚀"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Grüße, 東京 🚀"


@pytest.mark.parametrize("mode", ["cut_clean", "cut_reset", "cut_mid_frame", "cut_close"])
def test_openai_sdk_raises_on_a_cut_stream(sdk: openai.OpenAI, tokenhub: RunningTokenHub, mode: str) -> None:
    tokenhub.rehearse(mode)
    stream = sdk.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "a b c d"}], stream=True)

    with pytest.raises(openai.APIError, match="ended the stream before it was complete"):
        list(stream)


def test_openai_sdk_reads_tokenhubs_error(sdk: openai.OpenAI, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("refuse_key")

    with pytest.raises(openai.AuthenticationError) as caught:
        sdk.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "a"}])

    assert caught.value.code == "provider_key_refused"


def test_openai_sdk_does_not_retry_a_spent_budget(sdk: openai.OpenAI, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("budget")

    with pytest.raises(openai.RateLimitError):
        sdk.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "a"}])

    assert len(tokenhub.requests) == 1


def test_curl_shows_tokens_as_they_arrive(warm: httpx.Client, tokenhub: RunningTokenHub, system: LocalSystem) -> None:
    tokenhub.rehearse("slow", delay_ms=200)
    command = ["curl", "-sN", f"{system.url}/v1/chat/completions", "-H", "Content-Type: application/json", "-d"]
    body = '{"stream": true, "messages": [{"role": "user", "content": "a b c d"}]}'

    def seconds_between_tokens() -> float:
        with subprocess.Popen([*command, body], stdout=subprocess.PIPE) as curl:
            assert curl.stdout is not None
            received = [(time.monotonic(), line) for line in curl.stdout if line.strip()]
        assert received[-1][1] == b"data: [DONE]\n"
        return received[-1][0] - received[0][0]

    # A busy machine may read all lines late, but not three times.
    assert any(seconds_between_tokens() > 4 * 0.15 for _ in range(3))


def test_rotating_a_key_fails_no_request(warm: httpx.Client, register: Register, tokenhub: RunningTokenHub) -> None:
    register(heartbeat={"enabled": False}, api_key="another-key-1234")
    tokenhub.rehearse("refuse_key", times=1)

    assert warm.post("/v1/chat/completions", json=chat_body()).status_code == 200
    assert tokenhub.requests[-1].headers["authorization"] == "Bearer another-key-1234"
