import json
import re
import socket
import time
from itertools import pairwise
from typing import Any

import httpx
import openai
import pytest

from tests.rehearsal import KEY, RunningTokenHub, chat_body, sse_frames, streamed_text, wait_until
from tools.rehearsal.modes import MODES

CHAT = "/v1/chat/completions"
TEXT = "Grüße aus Zürich, 東京 und 🚀 im All"


@pytest.mark.parametrize("mode", ["normal", "slow", "split", "crlf", "comments"])
def test_openai_sdk_reads_the_same_stream_in_every_encoding(tokenhub: RunningTokenHub, mode: str) -> None:
    tokenhub.rehearse(mode, delay_ms=5)
    with openai.OpenAI(base_url=f"{tokenhub.url}/v1", api_key=KEY) as sdk:
        chunks = list(
            sdk.chat.completions.create(model="echo", messages=[{"role": "user", "content": TEXT}], stream=True)
        )

    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]


def test_stream_has_tokenhubs_headers_and_ends_with_done(client: httpx.Client) -> None:
    answer = client.post(CHAT, json=chat_body(stream=True), headers={"X-Request-ID": "r-2"})

    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["x-negotiated-model"] == "echo"
    assert not {"server", "x-request-id"} & set(answer.headers)
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert streamed_text(answer.content) == TEXT


def test_finishes_every_requested_choice(client: httpx.Client) -> None:
    body = client.post(CHAT, json=chat_body(n=2, stream=True)).text
    rows = [json.loads(line[6:])["choices"][0] for line in body.splitlines() if line.startswith("data: {")]

    assert [row["index"] for row in rows if row["finish_reason"]] == [0, 1]
    assert len(client.post(CHAT, json=chat_body(n=2)).json()["choices"]) == 2


def test_anthropic_adapter_streams_anthropic_events_on_chat_completions(client: httpx.Client) -> None:
    body = client.post(CHAT, json=chat_body(model="rehearse/anthropic_stream", stream=True)).content

    assert sse_frames(body)[0].startswith("event: message_start\ndata: {")
    assert sse_frames(body)[-1] == 'event: message_stop\ndata: {"type":"message_stop"}'
    assert b"[DONE]" not in body


def test_slow_pauses_before_every_token(tokenhub: RunningTokenHub, client: httpx.Client) -> None:
    tokenhub.rehearse("slow", delay_ms=40)
    with client.stream("POST", CHAT, json=chat_body("one two three", stream=True)) as answer:
        arrivals = [(time.monotonic(), chunk) for chunk in answer.iter_raw()]

    sent_times = [sent_at for sent_at, _ in tokenhub.sent]
    gaps = [later - earlier for earlier, later in pairwise(sent_times)]
    assert len(arrivals) == len(sent_times) == 6
    assert all(gap >= 0.04 for gap in gaps)
    assert all(arrived >= sent for (arrived, _), sent in zip(arrivals, sent_times, strict=True))
    assert b"".join(chunk for _, chunk in tokenhub.sent) == b"".join(chunk for _, chunk in arrivals)


def test_slow_takes_200_ms_a_token_by_default(client: httpx.Client) -> None:
    def seconds() -> float:
        began = time.monotonic()
        client.post(CHAT, json=chat_body("one", model="rehearse/slow"))
        return time.monotonic() - began

    # A busy machine may be late, but not three times.
    assert 0.2 <= min(seconds() for _ in range(3)) < 0.6


def test_slow_headers_delays_a_complete_response(tokenhub: RunningTokenHub, client: httpx.Client) -> None:
    tokenhub.rehearse("slow_headers", delay_ms=150)
    began = time.monotonic()
    with client.stream("POST", CHAT, json=chat_body(stream=True)) as answer:
        assert time.monotonic() - began >= 0.15
        assert streamed_text(answer.read()) == TEXT


def test_split_cuts_inside_frames_and_inside_characters(tokenhub: RunningTokenHub, client: httpx.Client) -> None:
    body = client.post(CHAT, json=chat_body(model="rehearse/split", stream=True)).content

    chunks = [chunk for _, chunk in tokenhub.sent]
    assert b"".join(chunks) == body
    assert "🚀".encode()[:1] in chunks
    assert not any(chunk.endswith(b"\n\n") for chunk in chunks[:10])
    assert streamed_text(body) == TEXT


def test_crlf_and_comments_keep_the_text(client: httpx.Client) -> None:
    crlf = client.post(CHAT, json=chat_body(model="rehearse/crlf", stream=True)).content
    comments = client.post(CHAT, json=chat_body(model="rehearse/comments", stream=True)).content

    assert re.findall(rb"[^\r]\n", crlf) == []
    assert comments.startswith(b": ")
    assert streamed_text(crlf) == streamed_text(comments) == TEXT


def test_large_sends_one_line_of_over_a_megabyte(client: httpx.Client) -> None:
    body = client.post(CHAT, json=chat_body(model="rehearse/large", stream=True)).content

    assert max(map(len, body.splitlines())) > 1024 * 1024
    assert body.endswith(b"data: [DONE]\n\n")


def test_huge_exceeds_lambdas_limit_for_one_response(client: httpx.Client) -> None:
    assert len(client.post(CHAT, json=chat_body(model="rehearse/huge")).content) > 6 * 1024 * 1024


def test_huge_cut_disconnects_after_33_megabytes(client: httpx.Client) -> None:
    request = client.stream("POST", CHAT, json=chat_body(model="rehearse/huge_cut"))

    with request as answer, pytest.raises(httpx.RemoteProtocolError):
        answer.read()

    assert answer.status_code == 200
    assert answer.num_bytes_downloaded > 33 * 1024 * 1024


def test_long_head_pads_a_header_to_the_words_of_the_message(client: httpx.Client) -> None:
    answer = client.post(CHAT, json=chat_body("a " * 14_999 + "a", model="rehearse/long_head"))

    assert answer.headers["cache-control"].count("x") == 15_000


def test_empty_returns_a_204_without_a_body(client: httpx.Client) -> None:
    answer = client.post(CHAT, json=chat_body(model="rehearse/empty"))

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("mode", ["cut_clean", "cut_mid_frame"])
def test_transport_reports_no_error_for_a_clean_cut(client: httpx.Client, mode: str, stream: bool) -> None:
    answer = client.post(CHAT, json=chat_body(model=f"rehearse/{mode}", stream=stream))

    assert answer.status_code == 200
    assert b"[DONE]" not in answer.content
    assert b'finish_reason":"stop"' not in answer.content
    assert answer.content.endswith(b"\n\n") == (stream and mode == "cut_clean")


def test_clean_cut_sends_three_tokens_and_the_last_chunk(tokenhub: RunningTokenHub) -> None:
    raw = exchange(tokenhub, chat_body("one two three four", model="rehearse/cut_clean", stream=True))

    assert re.findall(rb'"content":"([^"]+)"', raw) == [b"one", b" two", b" three"]
    assert raw.endswith(b"\r\n0\r\n\r\n")


def exchange(tokenhub: RunningTokenHub, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\nContent-Length: {len(content)}\r\n"
    received = b""
    with socket.create_connection(("127.0.0.1", int(tokenhub.url.rsplit(":", 1)[1])), timeout=30) as connection:
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + content)
        while part := connection.recv(65536):
            received += part
    return received


def read_until_it_fails(client: httpx.Client, body: dict[str, Any], **options: Any) -> tuple[bytes, str | None]:
    """Returns the received bytes and the name of httpx's error."""
    received = b""
    try:
        with client.stream("POST", CHAT, json=body, **options) as answer:
            for part in answer.iter_raw():
                received += part
    except httpx.TransportError as error:
        return received, type(error).__name__
    return received, None


def test_cut_reset_raises_after_the_first_tokens(tokenhub: RunningTokenHub, client: httpx.Client) -> None:
    body = chat_body(model="rehearse/cut_reset", stream=True)
    received, error = read_until_it_fails(client, body)

    assert error == "ReadError"
    assert streamed_text(received) == "Grüße aus Zürich,"
    with pytest.raises(ConnectionResetError):
        exchange(tokenhub, body)
    assert [request.disconnected_at for request in tokenhub.requests] == [None, None]


def test_cut_close_omits_the_last_chunk(tokenhub: RunningTokenHub, client: httpx.Client) -> None:
    assert not exchange(tokenhub, chat_body(model="rehearse/cut_close", stream=True)).endswith(b"\r\n0\r\n\r\n")
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        client.post(CHAT, json=chat_body(model="rehearse/cut_close", stream=True))
    assert [request.disconnected_at for request in tokenhub.requests] == [None, None]


@pytest.mark.parametrize(("mode", "tokens"), [("hang", None), ("hang_after_first", "Grüße")])
def test_hanging_response_ends_when_the_client_disconnects(
    tokenhub: RunningTokenHub, client: httpx.Client, mode: str, tokens: str | None
) -> None:
    received, error = read_until_it_fails(client, chat_body(model=f"rehearse/{mode}", stream=True), timeout=2)
    left = time.monotonic()

    assert wait_until(lambda: [request for request in tokenhub.requests if request.disconnected_at is not None])
    assert abs((tokenhub.requests[0].disconnected_at or 0) - left) < 10
    assert (streamed_text(received), error) == (tokens or "", "ReadTimeout")
    assert wait_until(lambda: any("client left" in line for line in tokenhub.log))


@pytest.mark.parametrize("stream", [True, False])
def test_echo_key_repeats_the_key_in_header_and_text(client: httpx.Client, stream: bool) -> None:
    success = client.post(CHAT, json=chat_body(model="rehearse/echo_key", stream=stream))
    error = client.post(CHAT, json=chat_body(model="rehearse/echo_key_error", stream=stream))

    assert (success.status_code, error.status_code) == (200, 502)
    for answer in (success, error):
        assert answer.headers["x-provider-authorization"] == f"Bearer {KEY}"
        assert KEY in answer.text


def test_tool_calls_arrive_in_fragments(tokenhub: RunningTokenHub) -> None:
    with openai.OpenAI(base_url=f"{tokenhub.url}/v1", api_key=KEY) as sdk:
        stream = sdk.chat.completions.create(
            model="rehearse/tool_calls", messages=[{"role": "user", "content": "weather"}], stream=True
        )
        calls = [call for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]

    def joined(index: int) -> str:
        return "".join(call.function.arguments or "" for call in calls if call.index == index and call.function)

    assert joined(0) == joined(1) == '{"city":"Zürich"}'
    assert [call.id for call in calls if call.id] == ["call_0", "call_1"]


@pytest.mark.parametrize("mode", sorted(set(MODES) - {"hang", "hang_after_first"}))
def test_every_mode_responds_on_every_route(tokenhub: RunningTokenHub, client: httpx.Client, mode: str) -> None:
    for path in (CHAT, "/v1/messages", "/v1/chat", "/v1/plan", "/v1/embeddings", "/v1/models", "/healthz"):
        for stream in (True, False):
            tokenhub.rehearse(mode, times=1, delay_ms=1, path=path)
            body = chat_body("hi", stream=stream, input="x", model="x")
            method = "GET" if path in ("/v1/models", "/healthz") else "POST"
            payload = {"request": body | {"model_hint": "x"}} if path in ("/v1/chat", "/v1/plan") else body
            try:
                client.request(method, path, json=payload)
            except (httpx.ReadError, httpx.RemoteProtocolError):
                assert mode in ("cut_reset", "cut_close", "huge_cut")
            assert tokenhub.requests[-1].mode == mode
    assert not [line for line in tokenhub.log if " - " in line]
