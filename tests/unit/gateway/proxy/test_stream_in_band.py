"""Errors that a provider reports within a stream, after its status 200."""

import json
from collections.abc import Generator

import pytest

from gateway.core.errors import StreamIdleTimeout, StreamTruncated
from gateway.proxy.request_log import RequestLog
from gateway.proxy.sse import END_MARK
from gateway.proxy.stream import relay
from gateway.proxy.upstream import Target
from tests.unit.gateway.builders import ENDPOINT, a_request
from tests.unit.gateway.streams import BODY, UNFINISHED, token

KEY = "c0ffee-0123456789-abcdefghij"


def frame(event: object, name: str = "") -> bytes:
    first = f"event: {name}\n" if name else ""
    return f"{first}data: {json.dumps(event)}\n\n".encode()


ERRORS = [
    frame({"error": {"message": "out of memory", "type": "server_error"}}),
    frame({"error": "out of memory"}),
    frame({"type": "error", "error": {"type": "overloaded_error", "message": "out of memory"}}, name="error"),
    frame({"message": "out of memory"}, name="error"),
    b"event: error\ndata: out of memory\n\n",
    b"data: out of memory\nevent:error\n\n",
    frame({"choices": [{"index": 0, "delta": {}, "error": {"message": "out of memory"}}]}),
    frame({"choices": [], "error": {"message": "out of memory"}}),
]


def relayed(*chunks: bytes, error: Exception | None = None, log: RequestLog | None = None) -> tuple[bytes, RequestLog]:
    log = log or RequestLog(a_request(stream=True))

    def source() -> Generator[bytes]:
        yield from chunks
        if error is not None:
            raise error

    return b"".join(relay(source(), log)), log


def our_error(received: bytes, provider: bytes) -> dict[str, object]:
    """Asserts that the client received the provider's bytes and then one error frame of ours. Returns its error."""
    assert received.startswith(provider)
    ours = received.removeprefix(provider)
    assert ours.endswith(b"\nevent: error\n\n")
    assert ours.count(b"\n\n") == 1
    error: dict[str, object] = json.loads(ours.split(b"\n")[0].removeprefix(b"data: "))["error"]
    return error


@pytest.mark.parametrize("reported", ERRORS)
@pytest.mark.parametrize("broken", [None, StreamTruncated(), StreamIdleTimeout("silent")])
def test_adds_an_error_frame_with_the_reported_message(reported: bytes, broken: Exception | None) -> None:
    received, log = relayed(*UNFINISHED, reported, error=broken)
    error = our_error(received, b"".join(UNFINISHED) + reported)
    assert (error["code"], error["source"], error["status"]) == ("provider_stream_error", "model", 502)
    assert str(error["message"]).startswith("out of memory. ")
    assert (log.stream_end, log.code) == ("error", "provider_stream_error")


@pytest.mark.parametrize("reported", ERRORS)
def test_an_error_before_the_end_mark_is_logged_and_passed_on_alone(reported: bytes) -> None:
    received, log = relayed(*UNFINISHED, reported, END_MARK)
    assert received == b"".join(UNFINISHED) + reported + END_MARK
    assert (log.stream_end, log.code) == ("error", "provider_stream_error")


def test_a_finish_reason_error_is_an_error() -> None:
    received, log = relayed(*UNFINISHED, token("", finish_reason="error"))
    assert our_error(received, b"".join([*UNFINISHED, token("", finish_reason="error")]))["code"] == log.code


def test_an_error_after_the_finish_reason_is_an_error() -> None:
    received, log = relayed(*BODY[:-1], ERRORS[0])
    assert our_error(received, b"".join(BODY[:-1]) + ERRORS[0])["code"] == log.code == "provider_stream_error"


@pytest.mark.parametrize("nothing", [None, "", {}, False])
def test_an_empty_error_member_is_not_an_error(nothing: object) -> None:
    harmless = frame({"model": "echo", "error": nothing, "choices": []})
    received, log = relayed(harmless, *BODY)
    assert received == harmless + b"".join(BODY)
    assert (log.stream_end, log.code) == ("done", None)


def test_a_client_that_leaves_after_the_error_is_logged_as_an_error() -> None:
    log = RequestLog(a_request(stream=True))
    stream = relay(iter([*UNFINISHED, ERRORS[0], *BODY]), log)
    for _ in range(3):
        next(stream)
    stream.close()
    assert (log.stream_end, log.code) == ("error", "provider_stream_error")


def test_the_key_is_removed_from_the_reported_message() -> None:
    log = RequestLog(a_request(stream=True), target=Target("main", ENDPOINT, key=KEY))
    received, _ = relayed(frame({"error": f"wrong key {KEY}\n"}), log=log)
    ours = received.split(b"\n\n")[1]
    assert b"wrong key [redacted]" in ours
    assert KEY.encode() not in ours


@pytest.mark.parametrize("body", [b'{"error": {"message": "no such model"}}', b'\n {"error": "no such model"}\n'])
def test_a_body_that_is_a_json_error_keeps_its_message(body: bytes) -> None:
    received, log = relayed(body[:9], body[9:])
    error = our_error(received, b"")
    assert str(error["message"]).startswith("no such model. ")
    assert (log.stream_end, log.code, log.bytes_down) == ("error", "provider_stream_error", 0)


def test_a_body_that_is_other_json_is_truncated() -> None:
    received, log = relayed(b'{"choices": []}')
    assert our_error(received, b"")["code"] == log.code == "stream_truncated"


RESPONSES = [
    frame({"type": "response.created", "sequence_number": 0, "response": {"id": "resp_7", "model": "gpt"}}),
    frame({"type": "response.output_text.delta", "sequence_number": 1, "delta": "Hel"}),
]
USAGE = {"input_tokens": 3, "output_tokens": 5}


def responses_log() -> RequestLog:
    return RequestLog(a_request(stream=True, path="/responses"))


@pytest.mark.parametrize(
    ("last", "end"),
    [
        ({"type": "response.completed", "response": {"id": "resp_7", "usage": USAGE}}, "done"),
        ({"type": "response.incomplete", "response": {"id": "resp_7", "usage": USAGE}}, "done"),
        (
            {"type": "response.failed", "response": {"id": "resp_7", "error": {"message": "no"}, "usage": USAGE}},
            "error",
        ),
    ],
)
def test_a_last_event_of_a_response_ends_the_stream(last: dict[str, object], end: str) -> None:
    received, log = relayed(*RESPONSES, frame(last), b": more\n\n", log=responses_log())
    assert received == b"".join(RESPONSES) + frame(last)
    assert (log.stream_end, log.model_served, log.usage.completion_tokens) == (end, "gpt", 5)


def test_an_error_event_ends_a_response() -> None:
    last = frame({"type": "error", "code": "server_error", "message": "no", "sequence_number": 2}, name="error")
    received, log = relayed(*RESPONSES, last, b": more\n\n", log=responses_log())
    assert received == b"".join(RESPONSES) + last
    assert (log.stream_end, log.code) == ("error", "provider_stream_error")


def test_a_broken_response_ends_with_response_failed() -> None:
    received, log = relayed(*RESPONSES, log=responses_log())
    name, data = received.removeprefix(b"".join(RESPONSES)).decode().removesuffix("\n\n").split("\n")
    event = json.loads(data.removeprefix("data: "))
    assert name == "event: response.failed"
    assert (event["type"], event["sequence_number"], event["response"]["id"]) == ("response.failed", 2, "resp_7")
    assert event["response"]["error"]["message"] == StreamTruncated().message
    assert (log.stream_end, log.code) == ("truncated", "stream_truncated")


def test_a_response_that_breaks_before_its_first_event_has_the_request_id() -> None:
    received, log = relayed(log=responses_log())
    assert f'"id": "resp_{log.request.request_id}"'.encode() in received
