import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from lambda_streaming import Response, StreamingResponse, mode, streaming

TEXT = {"content-type": "text/plain"}


class Body:
    """Chunks, and a note of when they ended."""

    def __init__(self, *chunks: bytes | Exception) -> None:
        self.notes: list[str] = []
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk
        finally:
            self.notes.append("body ended")

    def on_close(self) -> None:
        self.notes.append("on_close")

    def response(self, status: int = 200, **headers: str) -> StreamingResponse:
        return StreamingResponse(status, headers or TEXT, self, self.on_close)


@pytest.fixture
def framed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_MODE", "framed")


def answer(response: Any) -> Any:
    @streaming
    def handler(event: None, context: None) -> Any:
        return response

    return handler(None, None)


def test_without_a_runtime_client_a_response_is_a_plain_proxy_dict() -> None:
    body = Body(b"gr\xc3", b"\xbcn")

    assert answer(body.response(201)) == {
        "statusCode": 201,
        "headers": TEXT,
        "multiValueHeaders": {},
        "body": "grün",
        "isBase64Encoded": False,
    }
    assert body.notes == ["body ended", "on_close"]


def test_a_proxy_body_that_is_no_text_goes_in_base64() -> None:
    proxied = answer(Response(200, TEXT, b"\xff\x00"))

    assert proxied["isBase64Encoded"] is True
    assert base64.b64decode(proxied["body"]) == b"\xff\x00"


def test_a_proxy_dict_has_no_framing_headers_either() -> None:
    assert answer(Response(204, {"Content-Length": "0", "x-kept": "1"}))["headers"] == {"x-kept": "1"}


def test_framed_is_the_prelude_and_the_whole_body_in_bytes(framed: None) -> None:
    body = Body(b"one ", b"", b"two")

    assert answer(body.response()) == (
        b'{"statusCode":200,"headers":{"content-type":"text/plain"}}' + bytes(8) + b"one two"
    )
    assert body.notes == ["body ended", "on_close"]


def test_a_framed_response_without_a_body_has_one_byte(framed: None) -> None:
    assert answer(Response(204)) == b'{"statusCode":204,"headers":{}}' + bytes(8) + b"\n"


def test_framed_and_proxy_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    response = Response(418, {"x-a": "ü", "connection": "close"}, b"{}")
    proxied = answer(response)
    monkeypatch.setenv("STREAM_MODE", "framed")
    metadata, _, body = answer(response).partition(bytes(8))

    assert json.loads(metadata) == {key: proxied[key] for key in ("statusCode", "headers")}
    assert body.decode() == proxied["body"]


@pytest.mark.parametrize("asked", ["framed", "proxy"])
def test_an_exception_of_the_body_is_the_invocations_and_the_response_is_closed(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAM_MODE", asked)
    body = Body(b"a", KeyError("k"))

    with pytest.raises(KeyError):
        answer(body.response())

    assert body.notes == ["body ended", "on_close"]


@pytest.mark.parametrize(("status", "headers"), [(99, {}), (200, {"x": "a\r\nb"}), (200, {"x": "a" * 20_000})])
def test_an_unusable_prelude_is_refused_and_the_body_closed_unread(status: int, headers: dict[str, str]) -> None:
    body = Body(b"a")

    with pytest.raises(ValueError, match=r"status|header"):
        answer(body.response(status, **headers))

    assert body.notes == ["on_close"]


def test_a_body_that_is_not_iterable_still_calls_on_close() -> None:
    notes: list[str] = []

    with pytest.raises(TypeError):
        answer(StreamingResponse(200, {}, None, lambda: notes.append("closed")))  # type: ignore[arg-type]

    assert notes == ["closed"]


def test_an_on_close_that_fails_is_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    def on_close() -> None:
        raise RuntimeError("a secret")

    assert answer(StreamingResponse(200, {}, [b"a"], on_close))["body"] == "a"

    assert "closing the response failed: RuntimeError at " in caplog.text
    assert "a secret" not in caplog.text


@pytest.mark.parametrize("result", [{"statusCode": 200}, None, b"bytes"])
def test_a_handler_that_returns_something_else_is_told_what_is_expected(result: object) -> None:
    with pytest.raises(TypeError, match=f"returned {type(result).__name__}, not a StreamingResponse or Response"):
        answer(result)


def test_the_handlers_name_and_exceptions_stay_its_own() -> None:
    @streaming
    def failing(event: None, context: None) -> Response:
        raise LookupError

    assert failing.__name__ == "failing"
    with pytest.raises(LookupError):
        failing(None, None)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "proxy"),
        ({"STREAM_MODE": "framed"}, "framed"),
        ({"STREAM_MODE": "framed", "AWS_SAM_LOCAL": "true"}, "framed"),
        ({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}, "framed"),
        ({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "AWS_SAM_LOCAL": "true"}, "proxy"),
        ({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "STREAM_MODE": "proxy"}, "proxy"),
        ({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "STREAM_MODE": "nonsense"}, "framed"),
    ],
)
def test_the_mode_follows_the_environment_of_the_moment(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert mode() == expected


def test_a_response_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Response(200).status = 201  # type: ignore[misc]
