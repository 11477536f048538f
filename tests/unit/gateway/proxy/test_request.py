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


def test_only_the_headers_of_the_list_travel_in_lower_case() -> None:
    headers = {
        "Content-Type": "application/json",
        "ACCEPT": "*/*",
        "User-Agent": "sdk/1",
        "traceparent": "00-1-2-3",
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
        "idempotency-key",
        "anthropic-version",
        "anthropic-beta",
    }


def test_what_has_to_be_known_of_a_body_is_read() -> None:
    request = read({"model": "echo", "stream": True, "n": 3})
    assert (request.model, request.stream, request.choices) == ("echo", True, 3)


@pytest.mark.parametrize("body", [{}, {"stream": False}, {"stream": "true"}, {"stream": 1}, {"stream": None}])
def test_a_stream_is_one_only_when_it_is_asked_for(body: dict[str, object]) -> None:
    assert not read(body).stream


@pytest.mark.parametrize("path", ["/embeddings", "/plan", "/models"])
def test_where_tokenhub_takes_no_notice_of_stream_none_is_asked_for(path: str) -> None:
    assert not read({"stream": True}, path=path).stream
    assert read({"stream": True}, path="/messages").stream


@pytest.mark.parametrize("n", [None, 0, -1, "2", 1.5, []])
def test_a_number_of_choices_that_is_none_counts_as_one(n: object) -> None:
    assert read({"n": n}).choices == 1


def test_the_chat_route_says_stream_inside_its_request() -> None:
    assert read({"request": {"stream": True}}, path="/chat").stream
    assert read({"request": {"parameters": {"n": 3}}, "n": 5}, path="/chat").choices == 3
    assert not read({"stream": True}, path="/chat").stream
    assert read({"request": {"parameters": 7}}, path="/chat").choices == 1
    assert not read({"request": 7}, path="/chat").stream
    assert not read({"request": {"stream": True}}).stream


@pytest.mark.parametrize(
    "body", [b"", b"{", b"no", b"\xff", b"[" * 100_000, b"{}{}", b"\xef\xbb\xbf{}", '{"a": 1}'.encode("utf-16")]
)
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not JSON"):
        read(body)


@pytest.mark.parametrize("body", [b"[]", b"7", b'"x"', b"null"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not a JSON object"):
        read(body)


def test_a_refusal_does_not_repeat_the_body() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(f'{{"prompt": "{KEY}"'.encode())
    assert KEY not in caught.value.message
    assert caught.value.__suppress_context__


def test_a_request_without_a_body_is_read_too() -> None:
    request = read_request(ForwardRequest("GET", "/models", "request-1", headers={"Accept": "*/*"}))
    assert (request.body, request.stream, request.model) == (None, False, None)


@pytest.mark.parametrize("path", ["/chat/completions", "/messages"])
def test_a_body_without_a_model_gets_the_providers(path: str) -> None:
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
def test_a_body_that_names_a_model_or_needs_none_stays_as_it_is(body: dict[str, object], path: str) -> None:
    request = read(body, path=path)
    assert with_model(request, "echo") == request


def test_a_provider_without_a_model_changes_nothing() -> None:
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
def test_the_rest_of_a_body_that_gets_a_model_stays_byte_for_byte(body: bytes) -> None:
    got = with_model(read(body), "echo").body or b""
    assert json.loads(got)["model"] == "echo"
    rest = body.strip().removeprefix(b"{").strip()
    assert got.strip().endswith(rest)


@BRIEFLY
@given(
    st.dictionaries(st.text().filter(lambda name: name not in {"model", "n", "stream"}), JSON, max_size=4), st.text()
)
def test_a_body_that_gets_a_model_means_the_same_otherwise(content: dict[str, object], model: str) -> None:
    got = json.loads(with_model(read(content), model).body or b"")
    assert got == content | {"model": model}


def test_the_repr_of_a_request_does_not_show_its_prompt() -> None:
    assert "secret" not in repr(a_request(body=b'{"prompt": "secret"}'))
