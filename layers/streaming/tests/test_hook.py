import logging
import socket
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from lambda_streaming import Response, StreamingResponse, response_mode, streaming
from runtime_api import RuntimeApi

MODULE = "awslambdaric.lambda_runtime_client"


class Marshaller:
    def marshal_response(self, response: object) -> tuple[object, str]:
        return response, "application/json"


class Poster:
    """The part of awslambdaric's client that the hook uses."""

    def __init__(self) -> None:
        self.posted: list[tuple[object, ...]] = []

    def post_invocation_result(
        self, invoke_id: str, result_data: object, content_type: str = "json", invocation_id: str | None = None
    ) -> None:
        self.posted.append((invoke_id, result_data, content_type, invocation_id))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Callable[..., type]:
    """Loads a runtime client with these methods. The defaults are compatible with the hook."""

    def load(post: object = Poster.post_invocation_result, marshaller: object = None) -> type:
        base = type("BaseLambdaRuntimeClient", (Poster,), {"post_invocation_result": post})
        client = type("LambdaRuntimeClient", (base,), {"marshaller": marshaller or Marshaller()})
        package, module = ModuleType("awslambdaric"), ModuleType(MODULE)
        vars(package)["__version__"] = "9.8.7"
        vars(module)["LambdaRuntimeClient"] = client
        monkeypatch.setitem(sys.modules, "awslambdaric", package)
        monkeypatch.setitem(sys.modules, MODULE, module)
        return client

    return load


@pytest.fixture
def api(runtime_api: RuntimeApi, monkeypatch: pytest.MonkeyPatch) -> RuntimeApi:
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", runtime_api.address)
    return runtime_api


def returning(response: object) -> Callable[[None, None], Any]:
    @streaming
    def handler(event: None, context: None) -> Any:
        return response

    return handler


def invoke(client_class: type, response: object) -> Any:
    """Marshals and posts, as awslambdaric's loop does."""
    client: Any = client_class()
    data, content_type = client.marshaller.marshal_response(returning(response)(None, None))
    client.post_invocation_result("the-id", data, content_type, "the-invocation")
    return client


def test_hook_posts_a_streaming_response(loaded: Callable[..., type], api: RuntimeApi) -> None:
    calls: list[str] = []
    response = StreamingResponse(200, {"x": "y"}, [b"a", b"", b"b"], lambda: calls.append("closed"))

    client = invoke(loaded(), response)

    exchange = api.next_post()
    assert exchange.prelude == {"statusCode": 200, "headers": {"x": "y"}}
    assert exchange.chunks[1:] == [b"a", b"b"]
    assert "Lambda-Runtime-Invocation-Id: the-invocation" in exchange.head
    assert (client.posted, calls) == ([], ["closed"])


@pytest.mark.parametrize("response", [Response(204), StreamingResponse(204, {}, [b"", b""])])
def test_response_without_a_body_has_one_byte(response: object, loaded: Callable[..., type], api: RuntimeApi) -> None:
    invoke(loaded(), response)

    assert api.next_post().body == b"\n"


def test_other_results_use_the_original_methods(loaded: Callable[..., type]) -> None:
    client_class = loaded()
    returning(Response(200))
    client: Any = client_class()

    data, content_type = client.marshaller.marshal_response({"a": 1})
    client.post_invocation_result("1", data, content_type, "2")
    client.post_invocation_result("3", data, invocation_id="4")
    client.post_invocation_result("5", data)

    assert client.posted == [
        ("1", {"a": 1}, "application/json", "2"),
        ("3", {"a": 1}, "json", "4"),
        ("5", {"a": 1}, "json", None),
    ]


def test_hooks_every_client_class_once(loaded: Callable[..., type]) -> None:
    client_class = loaded()

    returning(Response(200))
    hooked = client_class.__mro__[1].__dict__["post_invocation_result"]
    returning(Response(200))

    assert hooked is not Poster.post_invocation_result
    assert client_class.__mro__[1].__dict__["post_invocation_result"] is hooked
    assert response_mode() == "stream"


def test_init_logs_version_and_mode(loaded: Callable[..., type], caplog: pytest.LogCaptureFixture) -> None:
    loaded()

    with caplog.at_level(logging.INFO, "lambda_streaming"):
        returning(Response(200))

    assert [record.getMessage() for record in caplog.records] == ["runtime client 9.8.7, response mode stream"]


def moved_method(self: object, request: object) -> None: ...


def with_new_argument(self: object, invoke_id: str, data: object, content_type: str, new: object) -> None: ...


class ReadOnlyMarshaller:
    __slots__ = ()

    def marshal_response(self, response: object) -> tuple[object, str]:
        return response, "application/json"


class ChangedMarshaller:
    def marshal_response(self, response: object) -> object:
        return response


@pytest.mark.parametrize(
    "methods",
    [
        {"post": moved_method},
        {"post": with_new_argument},
        {"post": None},
        {"marshaller": ReadOnlyMarshaller()},
        {"marshaller": ChangedMarshaller()},
    ],
    ids=["moved", "new argument", "missing", "read-only", "changed"],
)
def test_changed_runtime_client_degrades_to_framed(
    methods: dict[str, object], loaded: Callable[..., type], caplog: pytest.LogCaptureFixture
) -> None:
    client_class = loaded(**methods)

    framed = returning(Response(200, {}, b"hello"))(None, None)

    assert framed == b'{"statusCode":200,"headers":{}}' + bytes(8) + b"hello"
    assert client_class.__mro__[1].__dict__["post_invocation_result"] is methods.get(
        "post", Poster.post_invocation_result
    )
    assert "the runtime client has changed" in caplog.text


def test_missing_client_class_degrades_to_framed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULE, ModuleType(MODULE))

    assert isinstance(returning(Response(200))(None, None), bytes)


def test_body_exception_ends_the_response_with_trailers(
    loaded: Callable[..., type], api: RuntimeApi, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def body() -> Iterator[bytes]:
        yield b"a"
        # An error of the upstream connection must not count as one of the Runtime API's.
        raise ConnectionResetError("a secret")

    invoke(loaded(), StreamingResponse(200, {}, body(), lambda: calls.append("closed")))

    exchange = api.next_post()
    assert exchange.body == b"a"
    assert exchange.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.ConnectionResetError"
    assert calls == ["closed"]
    assert "the response body failed: ConnectionResetError at " in caplog.text
    assert "a secret" not in caplog.text


def test_text_chunk_ends_the_response_with_trailers(loaded: Callable[..., type], api: RuntimeApi) -> None:
    invoke(loaded(), StreamingResponse(200, {}, [b"a", "b"]))  # type: ignore[list-item]

    exchange = api.next_post()
    assert exchange.body == b"a"
    assert exchange.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.TypeError"


def endless(calls: list[str]) -> Iterator[bytes]:
    try:
        while True:
            yield b"x" * 100
            time.sleep(0.005)
    finally:
        calls.append("body closed")


def test_connection_reset_closes_the_body_without_raising(
    loaded: Callable[..., type], api: RuntimeApi, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []
    api.reset_after = 500

    invoke(loaded(), StreamingResponse(200, {}, endless(calls), lambda: calls.append("on_close")))

    assert calls == ["body closed", "on_close"]
    assert "the response was cut: the Runtime API connection" in caplog.text


def test_early_reply_closes_the_body_without_raising(
    loaded: Callable[..., type], api: RuntimeApi, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []
    api.early_reply = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"

    invoke(loaded(), StreamingResponse(200, {}, endless(calls), lambda: calls.append("on_close")))

    assert calls == ["body closed", "on_close"]
    assert "the Runtime API answered 413" in caplog.text


def test_logs_an_error_reply_at_the_end(
    loaded: Callable[..., type], api: RuntimeApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.late_reply = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

    invoke(loaded(), Response(200))

    assert "the Runtime API answered 403 to the response" in caplog.text


def test_unreachable_runtime_api_closes_the_body_without_raising(
    loaded: Callable[..., type], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", f"127.0.0.1:{listener.getsockname()[1]}")

    invoke(loaded(), StreamingResponse(200, {}, [], lambda: calls.append("on_close")))

    assert calls == ["on_close"]


def test_reads_the_address_when_the_response_is_sent(
    loaded: Callable[..., type], runtime_api: RuntimeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_class = loaded()
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
    handler = returning(Response(200, {}, b"hello"))
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", runtime_api.address)

    client: Any = client_class()
    client.post_invocation_result("id", handler(None, None), "type")

    assert runtime_api.next_post().body == b"hello"
