import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from lambda_streaming import Response, StreamingResponse, response_mode, streaming

TEXT = {"content-type": "text/plain"}


class Body:
    """Yields chunks and records the calls that close the response."""

    def __init__(self, *chunks: bytes | Exception) -> None:
        self.calls: list[str] = []
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk
        finally:
            self.calls.append("body ended")

    def on_close(self) -> None:
        self.calls.append("on_close")

    def response(self, status: int = 200, **headers: str) -> StreamingResponse:
        return StreamingResponse(status, headers or TEXT, self, self.on_close)


@pytest.fixture
def framed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_MODE", "framed")


def invoke(response: Any) -> Any:
    @streaming
    def handler(event: None, context: None) -> Any:
        return response

    return handler(None, None)


def test_returns_a_proxy_dict_without_a_runtime_client() -> None:
    body = Body(b"gr\xc3", b"\xbcn")

    assert invoke(body.response(201)) == {
        "statusCode": 201,
        "headers": TEXT,
        "multiValueHeaders": {},
        "body": "grün",
        "isBase64Encoded": False,
    }
    assert body.calls == ["body ended", "on_close"]


def test_proxy_dict_encodes_binary_bodies_in_base64() -> None:
    proxy_dict = invoke(Response(200, TEXT, b"\xff\x00"))

    assert proxy_dict["isBase64Encoded"] is True
    assert base64.b64decode(proxy_dict["body"]) == b"\xff\x00"


def test_proxy_dict_drops_hop_by_hop_headers() -> None:
    assert invoke(Response(204, {"Content-Length": "0", "x-kept": "1"}))["headers"] == {"x-kept": "1"}


def test_framed_response_is_prelude_and_body(framed: None) -> None:
    body = Body(b"one ", b"", b"two")

    assert invoke(body.response()) == (
        b'{"statusCode":200,"headers":{"content-type":"text/plain"}}' + bytes(8) + b"one two"
    )
    assert body.calls == ["body ended", "on_close"]


def test_framed_response_without_a_body_has_one_byte(framed: None) -> None:
    assert invoke(Response(204)) == b'{"statusCode":204,"headers":{}}' + bytes(8) + b"\n"


def test_framed_and_proxy_responses_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    response = Response(418, {"x-a": "ü", "connection": "close"}, b"{}")
    proxy_dict = invoke(response)
    monkeypatch.setenv("STREAM_MODE", "framed")
    metadata, _, body = invoke(response).partition(bytes(8))

    assert json.loads(metadata) == {key: proxy_dict[key] for key in ("statusCode", "headers")}
    assert body.decode() == proxy_dict["body"]


@pytest.mark.parametrize("stream_mode", ["framed", "proxy"])
def test_body_exception_fails_the_invocation_and_closes_the_response(
    stream_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAM_MODE", stream_mode)
    body = Body(b"a", KeyError("k"))

    with pytest.raises(KeyError):
        invoke(body.response())

    assert body.calls == ["body ended", "on_close"]


@pytest.mark.parametrize(("status", "headers"), [(99, {}), (200, {"x": "a\r\nb"}), (200, {"x": "a" * 20_000})])
def test_rejects_an_invalid_prelude_and_closes_the_body_unread(status: int, headers: dict[str, str]) -> None:
    body = Body(b"a")

    with pytest.raises(ValueError, match=r"status|header"):
        invoke(body.response(status, **headers))

    assert body.calls == ["on_close"]


def test_calls_on_close_for_a_body_that_is_not_iterable() -> None:
    calls: list[str] = []

    with pytest.raises(TypeError):
        invoke(StreamingResponse(200, {}, None, lambda: calls.append("closed")))  # type: ignore[arg-type]

    assert calls == ["closed"]


def test_logs_an_on_close_exception_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    def on_close() -> None:
        raise RuntimeError("a secret")

    assert invoke(StreamingResponse(200, {}, [b"a"], on_close))["body"] == "a"

    assert "closing the response failed: RuntimeError at " in caplog.text
    assert "a secret" not in caplog.text


@pytest.mark.parametrize("result", [{"statusCode": 200}, None, b"bytes"])
def test_rejects_other_result_types(result: object) -> None:
    with pytest.raises(TypeError, match=f"returned {type(result).__name__}. Return a StreamingResponse or a Response"):
        invoke(result)


def test_keeps_the_handlers_name_and_exceptions() -> None:
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
def test_mode_follows_the_current_environment(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert response_mode() == expected


def test_response_is_immutable() -> None:
    with pytest.raises(AttributeError):
        Response(200).status = 201  # type: ignore[misc]
