import json
import re
import socket
import time
from itertools import pairwise
from typing import Any

import httpx
import openai
import pytest

from tests.rehearsal import KEY, RunningTokenHub, ask, frames, spoken, wait_until
from tools.rehearsal.modes import MODES

CHAT = "/v1/chat/completions"
SAID = "Grüße aus Zürich, 東京 und 🚀 im All"


@pytest.mark.parametrize("mode", ["normal", "slow", "split", "crlf", "comments"])
def test_the_openai_sdk_reads_the_same_stream_however_it_is_written(tokenhub: RunningTokenHub, mode: str) -> None:
    tokenhub.rehearse(mode, delay_ms=5)
    with openai.OpenAI(base_url=f"{tokenhub.url}/v1", api_key=KEY) as sdk:
        chunks = list(
            sdk.chat.completions.create(model="echo", messages=[{"role": "user", "content": SAID}], stream=True)
        )

    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]


def test_a_stream_has_tokenhubs_headers_and_ends_with_done(client: httpx.Client) -> None:
    answer = client.post(CHAT, json=ask(stream=True), headers={"X-Request-ID": "r-2"})

    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["x-negotiated-model"] == "echo"
    assert not {"server", "x-request-id"} & set(answer.headers)
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert spoken(answer.content) == SAID


def test_every_choice_asked_for_finishes(client: httpx.Client) -> None:
    body = client.post(CHAT, json=ask(n=2, stream=True)).text
    rows = [json.loads(line[6:])["choices"][0] for line in body.splitlines() if line.startswith("data: {")]

    assert [row["index"] for row in rows if row["finish_reason"]] == [0, 1]
    assert len(client.post(CHAT, json=ask(n=2)).json()["choices"]) == 2


def test_an_anthropic_adapter_streams_anthropic_events_on_chat_completions(client: httpx.Client) -> None:
    body = client.post(CHAT, json=ask(model="rehearse/anthropic_stream", stream=True)).content

    assert frames(body)[0].startswith("event: message_start\ndata: {")
    assert frames(body)[-1] == 'event: message_stop\ndata: {"type":"message_stop"}'
    assert b"[DONE]" not in body


def test_slow_pauses_before_every_token(tokenhub: RunningTokenHub, client: httpx.Client) -> None:
    tokenhub.rehearse("slow", delay_ms=40)
    with client.stream("POST", CHAT, json=ask("one two three", stream=True)) as answer:
        arrivals = [(time.monotonic(), chunk) for chunk in answer.iter_raw()]

    written = [at for at, _ in tokenhub.sent]
    gaps = [later - earlier for earlier, later in pairwise(written)]
    assert len(arrivals) == len(written) == 6
    assert all(gap >= 0.04 for gap in gaps)
    assert all(0 <= arrived - sent < 0.5 for (arrived, _), sent in zip(arrivals, written, strict=True))
    assert b"".join(piece for _, piece in tokenhub.sent) == b"".join(chunk for _, chunk in arrivals)


def test_slow_takes_200_ms_a_token_unless_told(client: httpx.Client) -> None:
    began = time.monotonic()
    client.post(CHAT, json=ask("one", model="rehearse/slow"))

    assert 0.2 <= time.monotonic() - began < 0.6


def test_slow_headers_come_late_and_whole(tokenhub: RunningTokenHub, client: httpx.Client) -> None:
    tokenhub.rehearse("slow_headers", delay_ms=150)
    began = time.monotonic()
    with client.stream("POST", CHAT, json=ask(stream=True)) as answer:
        assert 0.15 <= time.monotonic() - began < 0.5
        assert spoken(answer.read()) == SAID


def test_split_cuts_inside_frames_and_inside_characters(tokenhub: RunningTokenHub, client: httpx.Client) -> None:
    body = client.post(CHAT, json=ask(model="rehearse/split", stream=True)).content

    pieces = [piece for _, piece in tokenhub.sent]
    assert b"".join(pieces) == body
    assert "🚀".encode()[:1] in pieces
    assert not any(piece.endswith(b"\n\n") for piece in pieces[:10])
    assert spoken(body) == SAID


def test_crlf_and_comments_keep_the_words(client: httpx.Client) -> None:
    crlf = client.post(CHAT, json=ask(model="rehearse/crlf", stream=True)).content
    comments = client.post(CHAT, json=ask(model="rehearse/comments", stream=True)).content

    assert re.findall(rb"[^\r]\n", crlf) == []
    assert comments.startswith(b": ")
    assert spoken(crlf) == spoken(comments) == SAID


def test_large_is_one_line_of_over_a_megabyte(client: httpx.Client) -> None:
    body = client.post(CHAT, json=ask(model="rehearse/large", stream=True)).content

    assert max(map(len, body.splitlines())) > 1024 * 1024
    assert body.endswith(b"data: [DONE]\n\n")


def test_huge_is_an_answer_of_more_than_lambda_takes_in_one_piece(client: httpx.Client) -> None:
    assert len(client.post(CHAT, json=ask(model="rehearse/huge")).content) > 6 * 1024 * 1024


def test_huge_cut_breaks_off_behind_33_megabytes(client: httpx.Client) -> None:
    asked = client.stream("POST", CHAT, json=ask(model="rehearse/huge_cut"))

    with asked as answer, pytest.raises(httpx.RemoteProtocolError):
        answer.read()

    assert answer.status_code == 200
    assert answer.num_bytes_downloaded > 33 * 1024 * 1024


def test_long_head_has_a_header_as_long_as_the_message(client: httpx.Client) -> None:
    answer = client.post(CHAT, json=ask("a " * 14_999 + "a", model="rehearse/long_head"))

    assert answer.headers["cache-control"].count("x") == 15_000


def test_empty_is_a_204_without_a_byte(client: httpx.Client) -> None:
    answer = client.post(CHAT, json=ask(model="rehearse/empty"))

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("mode", ["cut_clean", "cut_mid_frame"])
def test_a_clean_cut_is_no_error_to_the_transport(client: httpx.Client, mode: str, stream: bool) -> None:
    answer = client.post(CHAT, json=ask(model=f"rehearse/{mode}", stream=stream))

    assert answer.status_code == 200
    assert b"[DONE]" not in answer.content
    assert b'finish_reason":"stop"' not in answer.content
    assert answer.content.endswith(b"\n\n") == (stream and mode == "cut_clean")


def test_a_clean_cut_shows_three_tokens_and_the_last_chunk_on_the_socket(tokenhub: RunningTokenHub) -> None:
    raw = exchange(tokenhub, ask("one two three four", model="rehearse/cut_clean", stream=True))

    assert re.findall(rb'"content":"([^"]+)"', raw) == [b"one", b" two", b" three"]
    assert raw.endswith(b"\r\n0\r\n\r\n")


def exchange(tokenhub: RunningTokenHub, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\nContent-Length: {len(content)}\r\n"
    received = b""
    with socket.create_connection(("127.0.0.1", int(tokenhub.url.rsplit(":", 1)[1])), timeout=5) as connection:
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + content)
        while part := connection.recv(65536):
            received += part
    return received


def read_until_it_fails(client: httpx.Client, body: dict[str, Any], **more: Any) -> tuple[bytes, str | None]:
    """What came, and the name of httpx's error."""
    got = b""
    try:
        with client.stream("POST", CHAT, json=body, **more) as answer:
            for part in answer.iter_raw():
                got += part
    except httpx.TransportError as error:
        return got, type(error).__name__
    return got, None


def test_a_reset_raises_after_the_first_tokens(tokenhub: RunningTokenHub, client: httpx.Client) -> None:
    body = ask(model="rehearse/cut_reset", stream=True)
    got, error = read_until_it_fails(client, body)

    assert error == "ReadError"
    assert spoken(got) == "Grüße aus Zürich,"
    with pytest.raises(ConnectionResetError):
        exchange(tokenhub, body)
    assert [request.left_at for request in tokenhub.requests] == [None, None]


def test_a_close_lacks_the_last_chunk(tokenhub: RunningTokenHub, client: httpx.Client) -> None:
    assert not exchange(tokenhub, ask(model="rehearse/cut_close", stream=True)).endswith(b"\r\n0\r\n\r\n")
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        client.post(CHAT, json=ask(model="rehearse/cut_close", stream=True))
    assert [request.left_at for request in tokenhub.requests] == [None, None]


@pytest.mark.parametrize(("mode", "tokens"), [("hang", None), ("hang_after_first", "Grüße")])
def test_a_hanging_answer_ends_when_its_client_leaves(
    tokenhub: RunningTokenHub, client: httpx.Client, mode: str, tokens: str | None
) -> None:
    got, error = read_until_it_fails(client, ask(model=f"rehearse/{mode}", stream=True), timeout=0.15)
    left = time.monotonic()

    assert wait_until(lambda: tokenhub.requests[0].left_at is not None)
    assert abs((tokenhub.requests[0].left_at or 0) - left) < 0.3
    assert (spoken(got), error) == (tokens or "", "ReadTimeout")
    assert wait_until(lambda: any("client left" in line for line in tokenhub.log))


@pytest.mark.parametrize("stream", [True, False])
def test_the_key_is_echoed_in_header_and_text_for_leak_tests(client: httpx.Client, stream: bool) -> None:
    kind = client.post(CHAT, json=ask(model="rehearse/echo_key", stream=stream))
    error = client.post(CHAT, json=ask(model="rehearse/echo_key_error", stream=stream))

    assert (kind.status_code, error.status_code) == (200, 502)
    for answer in (kind, error):
        assert answer.headers["x-provider-authorization"] == f"Bearer {KEY}"
        assert KEY in answer.text


def test_parallel_tool_calls_come_in_fragments(tokenhub: RunningTokenHub) -> None:
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
def test_every_mode_answers_on_every_route(tokenhub: RunningTokenHub, client: httpx.Client, mode: str) -> None:
    for path in (CHAT, "/v1/messages", "/v1/chat", "/v1/plan", "/v1/embeddings", "/v1/models", "/healthz"):
        for stream in (True, False):
            tokenhub.rehearse(mode, times=1, delay_ms=1, path=path)
            body = ask("hi", stream=stream, input="x", model="x")
            method = "GET" if path in ("/v1/models", "/healthz") else "POST"
            sent = {"request": body | {"model_hint": "x"}} if path in ("/v1/chat", "/v1/plan") else body
            try:
                client.request(method, path, json=sent)
            except (httpx.ReadError, httpx.RemoteProtocolError):
                assert mode in ("cut_reset", "cut_close", "huge_cut")
            assert tokenhub.requests[-1].mode == mode
    assert not [line for line in tokenhub.log if " - " in line]
