"""Sessions that serve `/responses` over chat completions, against a scripted server on a real socket."""

import json
from dataclasses import replace
from threading import Event

import pytest

from gateway.proxy.reply import Reply
from gateway.proxy.session import Session
from tests.scripted_server import DONE, END, STREAM, Cut, Pieces, Request, Script, answer, chunk
from tests.unit.gateway.anthropic_events import stream as anthropic_stream
from tests.unit.gateway.anthropic_events import text_block, tool_block
from tests.unit.gateway.builders import completion
from tests.unit.gateway.conftest import QUICK, MakeUpstream, Serve
from tests.unit.gateway.proxy.sessions import Sessions, logged, stream_of
from tests.unit.gateway.responses import Json, kinds, read_events, read_response, stream
from tests.unit.gateway.responses import chunk as chat_chunk

ASK = json.dumps({"model": "gpt", "input": "Hello"}).encode()
ASK_STREAM = json.dumps({"model": "gpt", "input": "Hello", "stream": True}).encode()
NOT_FOUND = answer(404, b"404 page not found\n", "text/plain")
TEXT = stream(chat_chunk({"content": "Grü"}), chat_chunk({"content": "ße"}))
TRUNCATED = "The provider ended the stream before it was complete. Discard the received part and try again."


@pytest.fixture
def sessions(serve: Serve, make_upstream: MakeUpstream) -> Sessions:
    return Sessions(serve, make_upstream)


def chat_only(*pieces: object) -> Script:
    """Answers 404 on all paths except chat completions."""

    def script(request: Request) -> Pieces:
        return pieces if request.target == "/v1/chat/completions" else (NOT_FOUND,)  # type: ignore[return-value]

    return script


def read(session: Session) -> tuple[Reply, list[Json]]:
    reply = session.reply()
    assert reply.stream is not None
    events = read_events(b"".join(reply.stream))
    session.close()
    return reply, events


def test_streams_the_events(sessions: Sessions, capsys: pytest.CaptureFixture[str]) -> None:
    reply, events = read(sessions.to(chat_only(*stream_of(TEXT), END), ASK_STREAM, path="/responses"))

    assert (reply.headers["x-translated"], reply.headers["content-type"]) == ("responses", "text/event-stream")
    assert events[-1]["response"]["id"] == "resp_request1"
    assert [event["delta"] for event in events if event["type"] == "response.output_text.delta"] == ["Grü", "ße"]
    assert [request.target for request in sessions.server.requests] == ["/v1/responses", "/v1/chat/completions"]
    [line] = logged(capsys)
    assert (line["path"], line["provider_path"], line["translated"]) == ("/responses", "/chat/completions", "responses")
    assert (line["stream_end"], line["prompt_tokens"], line["completion_tokens"]) == ("done", 3, 4)
    assert line["response_id"] == "resp_request1"
    sessions.assert_over()


def test_sends_the_events_of_chunks_that_arrive_together_as_one_piece(
    sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    read(sessions.to(chat_only(STREAM, chunk(TEXT), END), ASK_STREAM, path="/responses"))

    assert logged(capsys)[0]["chunks"] == 1


def test_answers_with_a_response(sessions: Sessions, capsys: pytest.CaptureFixture[str]) -> None:
    script = chat_only(answer(200, completion("pong"), "text/plain"))

    reply = sessions.to(script, ASK, path="/responses").reply()

    assert (reply.status, reply.headers["x-translated"]) == (200, "responses")
    assert reply.headers["content-type"] == "application/json"
    assert read_response(reply.body)["output"][0]["content"][0]["text"] == "pong"
    [line] = logged(capsys)
    assert (line["translated"], line["completion_tokens"], line["bytes"]) == ("responses", 3, len(reply.body))
    assert line["response_id"] == json.loads(reply.body)["id"]


def test_streams_the_events_of_an_anthropic_model(sessions: Sessions) -> None:
    anthropic = anthropic_stream(*text_block(0, "a", "b"), *tool_block(1, "look_up", '{"x"', ":1}"))

    reply, events = read(sessions.to(chat_only(*stream_of(anthropic), END), ASK_STREAM, path="/responses"))

    assert reply.headers["x-translated"] == "responses"
    message, call = events[-1]["response"]["output"]
    assert (message["content"][0]["text"], call["arguments"]) == ("ab", '{"x":1}')
    assert events[-1]["response"]["usage"]["output_tokens"] == 5


@pytest.mark.parametrize("ending", [(END,), (Cut.CLOSE,)], ids=["clean", "cut"])
@pytest.mark.parametrize("start", [TEXT[:300], b""], ids=["after-text", "at-once"])
def test_a_broken_stream_ends_with_response_failed(
    sessions: Sessions, start: bytes, ending: Pieces, capsys: pytest.CaptureFixture[str]
) -> None:
    script = chat_only(STREAM, *([chunk(start)] if start else []), *ending)

    _, events = read(sessions.to(script, ASK_STREAM, path="/responses"))

    assert [kind for kind in kinds(events) if kind in ("created", "failed", "completed")] == ["created", "failed"]
    assert events[-1]["response"]["error"] == {"code": "server_error", "message": TRUNCATED}
    assert logged(capsys)[0]["code"] == "stream_truncated"


@pytest.mark.parametrize(
    "error",
    [
        b'data: {"error": {"message": "overloaded"}}\n\n',
        b'event: error\ndata: {"message": "overloaded"}\n\n',
        b'data: {"message": "overloaded"}\nevent: error\n\n',
        b"event: error\ndata: overloaded\n\n",
    ],
    ids=["member", "event", "event-behind", "event-without-json"],
)
def test_an_error_in_the_stream_ends_it(sessions: Sessions, error: bytes) -> None:
    pieces = stream_of(chat_chunk({"content": "Half"}), error, DONE)

    _, events = read(sessions.to(chat_only(*pieces, END), ASK_STREAM, path="/responses"))

    assert kinds(events)[-1] == "failed"
    assert events[-1]["response"]["error"]["message"].startswith("overloaded.")


def test_translates_a_stream_whose_head_is_late(sessions: Sessions) -> None:
    begun = Event()
    script = chat_only(begun.wait, *stream_of(TEXT), END)
    session = sessions.to(script, ASK_STREAM, limits=replace(QUICK, keep_alive=1), seconds=60, path="/responses")

    reply = session.reply()
    begun.set()
    assert reply.stream is not None
    events = read_events(b"".join(reply.stream))
    session.close()

    assert "x-translated" not in reply.headers
    assert kinds(events)[-1] == "completed"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (502, b"no eligible models registered", "provider_no_models"),
        (200, b"[]", "not_a_completion"),
        (200, b'{"object": "list"}', "not_a_completion"),
        (200, b'{"error": {"message": "overloaded"}}', "provider_error"),
        (200, b'{"error": {"message": "overloaded"}, "choices": []}', "provider_error"),
        (200, b"<html>", "not_json"),
    ],
)
def test_reports_errors_of_chat_completions(sessions: Sessions, status: int, body: bytes, code: str) -> None:
    reply = sessions.to(chat_only(answer(status, body)), ASK, path="/responses").reply()

    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (502, code)


@pytest.mark.parametrize(
    "fields",
    [
        {"error": {"message": "overloaded", "code": 503}},
        {"choices": [{"message": {"content": "Half"}, "finish_reason": "error", "error": {"message": "overloaded"}}]},
    ],
    ids=["beside-choices", "in-a-choice"],
)
def test_reports_an_error_that_follows_a_part_of_the_answer(sessions: Sessions, fields: Json) -> None:
    body = json.dumps(json.loads(completion("Half")) | fields).encode()

    reply = sessions.to(chat_only(answer(200, body)), ASK, path="/responses").reply()

    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == (502, "provider_error")
    assert error["message"].startswith("overloaded.")


def test_the_reported_error_never_contains_the_answer(sessions: Sessions) -> None:
    body = json.dumps(json.loads(completion("Half")) | {"error": 5}).encode()

    reply = sessions.to(chat_only(answer(200, body)), ASK, path="/responses").reply()

    assert reply.status == 502
    assert b"Half" not in reply.body


def test_names_the_field_that_cannot_be_translated(sessions: Sessions) -> None:
    body = json.dumps({"input": "a", "previous_response_id": "resp_1"}).encode()

    reply = sessions.to(chat_only(NOT_FOUND), body, path="/responses").reply()

    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"], error["param"]) == (400, "unsupported_parameter", "previous_response_id")
    assert [request.target for request in sessions.server.requests] == ["/v1/responses"]


def test_a_provider_with_neither_path_has_a_wrong_endpoint(sessions: Sessions) -> None:
    reply = sessions.to(chat_only(NOT_FOUND), ASK, path="/responses").reply()

    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == (404, "provider_path_unknown")
    assert "Check that the registered endpoint ends in /v1" in error["message"]
