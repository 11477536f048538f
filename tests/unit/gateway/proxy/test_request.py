import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidRequest
from gateway.proxy.request import ForwardRequest, read_request, with_model
from tests.unit.gateway.builders import BRIEFLY, KEY, a_request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read(body: object = None, **changes: object) -> ForwardRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    return read_request(a_request(body=raw, **changes))


def test_forwards_only_the_allowed_headers_in_lower_case() -> None:
    headers = {
        "Content-Type": "application/json",
        "ACCEPT": "*/*",
        "User-Agent": "sdk/1",
        "traceparent": "00-1-2-3",
        "tracestate": "vendor=1",
        "Idempotency-Key": "once",
        "Anthropic-Version": "2023-06-01",
        "anthropic-beta": "tools",
        "Authorization": "Bearer client-token",
        "X-Api-Key": "client-token",
        "Cookie": "a=b",
        "Host": "gateway",
        "X-Forwarded-For": "192.0.2.1",
        "X-Real-IP": "192.0.2.1",
        "X-Request-Id": "forged",
        "Accept-Encoding": "gzip",
        "Connection": "close",
        "Transfer-Encoding": "chunked",
        "Content-Length": "7",
        "X-Provider-Id": "main",
    }
    assert set(read(headers=headers).headers) == {
        "content-type",
        "accept",
        "user-agent",
        "traceparent",
        "tracestate",
        "idempotency-key",
        "anthropic-version",
        "anthropic-beta",
    }


def test_reads_model_stream_and_choices_from_the_body() -> None:
    request = read({"model": "echo", "stream": True, "n": 3})
    assert (request.model, request.stream, request.choices) == ("echo", True, 3)


@pytest.mark.parametrize("body", [{}, {"stream": False}, {"stream": "true"}, {"stream": 1}, {"stream": None}])
def test_requests_a_stream_only_where_stream_is_true(body: dict[str, object]) -> None:
    assert not read(body).stream


@pytest.mark.parametrize("path", ["/embeddings", "/plan", "/models"])
def test_ignores_stream_on_paths_where_tokenhub_ignores_it(path: str) -> None:
    assert not read({"stream": True}, path=path).stream
    for streaming in ("/messages", "/responses", "/completions"):
        assert read({"stream": True}, path=streaming).stream


@pytest.mark.parametrize("options", [{"include_usage": False}, {"include_usage": 1}, {}, None, "include_usage", []])
def test_requests_a_usage_chunk_only_where_include_usage_is_true(options: object) -> None:
    assert not read({"stream_options": options}).include_usage
    assert read({"stream_options": {"include_usage": True}}).include_usage


@pytest.mark.parametrize("n", [None, 0, -1, "2", 1.5, []])
def test_counts_an_invalid_number_of_choices_as_one(n: object) -> None:
    assert read({"n": n}).choices == 1


def test_reads_stream_inside_the_request_of_the_chat_route() -> None:
    assert read({"request": {"stream": True}}, path="/chat").stream
    assert read({"request": {"parameters": {"n": 3}}, "n": 5}, path="/chat").choices == 3
    assert not read({"stream": True}, path="/chat").stream
    assert read({"request": {"parameters": 7}}, path="/chat").choices == 1
    assert not read({"request": 7}, path="/chat").stream
    assert not read({"request": {"stream": True}}).stream


@pytest.mark.parametrize(
    "body", [b"", b"{", b"no", b"\xff", b"[" * 100_000, b"{}{}", b"\xef\xbb\xbf{}", '{"a": 1}'.encode("utf-16")]
)
def test_rejects_a_body_that_is_not_json(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not JSON"):
        read(body)


@pytest.mark.parametrize("body", [b"[]", b"7", b'"x"', b"null"])
def test_rejects_a_body_that_is_not_an_object(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not a JSON object"):
        read(body)


def test_does_not_repeat_the_body_in_the_error() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(f'{{"prompt": "{KEY}"'.encode())
    assert KEY not in caught.value.message
    assert caught.value.__suppress_context__


def test_reads_a_request_without_a_body() -> None:
    request = read_request(ForwardRequest("GET", "/models", "request-1", headers={"Accept": "*/*"}))
    assert (request.body, request.stream, request.model) == (None, False, None)


@pytest.mark.parametrize("path", ["/chat/completions", "/messages"])
def test_adds_the_registered_model_to_a_body_without_one(path: str) -> None:
    request = with_model(read({"messages": []}, path=path), "echo")
    assert request.model == "echo"
    assert json.loads(request.body or b"") == {"model": "echo", "messages": []}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"model": "mine"}, "/chat/completions"),
        ({"model": "*"}, "/chat/completions"),
        ({"model": None}, "/chat/completions"),
        ({"model": 7}, "/messages"),
        ({"messages": []}, "/embeddings"),
        ({"request": {}}, "/chat"),
    ],
)
def test_keeps_a_body_that_names_a_model_or_needs_none(body: dict[str, object], path: str) -> None:
    request = read(body, path=path)
    assert with_model(request, "echo") == request


def test_keeps_the_body_for_a_provider_without_a_model() -> None:
    assert with_model(read({"messages": []}), None).body == b'{"messages": []}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages": [{"role": "user", "content": "cut emoji \\ud83d"}]}',
        b'{"temperature": 1e400}',
        b'{"temperature": 1.0, "seed": 123456789012345678901234567890}',
        b' \n{"a" : 1,"c" : 2 , "b":"\\u00e9\xc3\xa9"} ',
        b"{}",
        b"{ }",
        b'\t{\r\n"stop":"}{"}',
    ],
)
def test_keeps_the_other_bytes_when_adding_a_model(body: bytes) -> None:
    got = with_model(read(body), "echo").body or b""
    assert json.loads(got)["model"] == "echo"
    rest = body.strip().removeprefix(b"{").strip()
    assert got.strip().endswith(rest)


@BRIEFLY
@given(
    st.dictionaries(st.text().filter(lambda name: name not in {"model", "n", "stream"}), JSON, max_size=4), st.text()
)
def test_keeps_the_other_fields_when_adding_a_model(content: dict[str, object], model: str) -> None:
    got = json.loads(with_model(read(content), model).body or b"")
    assert got == content | {"model": model}


def test_repr_of_a_request_hides_the_prompt() -> None:
    assert "secret" not in repr(a_request(body=b'{"prompt": "secret"}'))


@pytest.mark.parametrize("path", ["/chat", "/plan"])
def test_reads_the_model_hint_of_a_wrapped_request(path: str) -> None:
    body = {"model": "ignored", "request": {"messages": [], "model_hint": "gpt-4o"}}
    assert read(body, path=path).model == "gpt-4o"
    assert read({"request": {"model_hint": 7}}, path=path).model is None
    assert read(body).model == "ignored"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Encoding": "gzip"}, b"{}"),
        ({"content-encoding": "br"}, b"xyz"),
        ({}, b"\x1f\x8b\x08\x00"),
    ],
)
def test_rejects_a_compressed_body(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"^The request body is compressed\. Send it uncompressed"):
        read(body, headers=headers)


@pytest.mark.parametrize("coding", ["identity", "", " Identity "])
def test_accepts_a_body_that_is_not_compressed(coding: str) -> None:
    assert read({"model": "a"}, headers={"Content-Encoding": coding}).model == "a"
