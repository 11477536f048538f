import json
from collections.abc import Iterator

import pytest

from gateway.core.answer_errors import NotJson
from gateway.core.errors import AnswerTruncated, InvalidRequest, NoProvider, ProviderError, StreamTruncated
from gateway.proxy.reply import error_reply, late_stream_headers, long_body, read_up_to, require_json, response_headers
from gateway.proxy.request_log import RequestLog
from gateway.proxy.upstream import Target, UpstreamResponse
from tests.unit.gateway.builders import ENDPOINT, KEY, a_request


def a_record(path: str = "/chat/completions", status: str = "healthy", model: str | None = None) -> RequestLog:
    record = RequestLog(a_request(path=path, model=model))
    record.target = Target("main", ENDPOINT, status=status, key=KEY)
    return record


def an_answer(**headers: str) -> UpstreamResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return UpstreamResponse(200, named, (piece for piece in [b""]), 7.4, lambda: None)


def test_returns_the_providers_headers_and_ours() -> None:
    down = response_headers(a_record(), an_answer(content_type="application/json", x_alias_from="*"))
    assert down.pop("server-timing").startswith("provider;dur=7, gateway;dur=")
    assert down == {
        "content-type": "application/json",
        "x-alias-from": "*",
        "x-content-type-options": "nosniff",
        "x-request-id": "request-1",
        "request-id": "request-1",
        "x-provider-id": "main",
    }


def test_server_timing_separates_gateway_and_provider() -> None:
    record = a_record()
    record.clock = lambda: record.started_at + 0.0204
    assert response_headers(record, an_answer())["server-timing"] == "provider;dur=7, gateway;dur=13"
    record.clock = lambda: record.started_at
    assert response_headers(record, an_answer())["server-timing"] == "provider;dur=7, gateway;dur=0"


@pytest.mark.parametrize(
    ("asked", "headers", "served", "told"),
    [
        ("a", {"x_negotiated_model": "b"}, None, "true"),
        ("a", {"x_negotiated_model": "b"}, "a", "true"),
        ("a", {}, "b", "true"),
        ("a", {"x_negotiated_model": "a"}, None, None),
        ("a", {"x_negotiated_model": "b", "x_alias_from": "a"}, "b", None),
        ("*", {"x_negotiated_model": "b"}, "b", None),
        (None, {"x_negotiated_model": "b"}, "b", None),
        ("a", {}, None, None),
        ("openai/gpt-4o", {"x_negotiated_model": "gpt-4o"}, "gpt-4o-2024-08-06", None),
        ("claude-3-5-sonnet-latest", {}, "claude-3-5-sonnet-20241022", None),
        ("claude-3-5-sonnet-latest", {"x_negotiated_model": "claude-3-5-sonnet-20241022"}, None, "true"),
    ],
)
def test_reports_a_substituted_model(
    asked: str | None, headers: dict[str, str], served: str | None, told: str | None
) -> None:
    record = a_record(model=asked)
    record.model_served = served
    assert response_headers(record, an_answer(**headers)).get("x-model-substituted") == told


@pytest.mark.parametrize("path", ["/chat", "/plan"])
def test_a_model_hint_is_never_substituted(path: str) -> None:
    headers = response_headers(a_record(path, model="a"), an_answer(x_negotiated_model="b"))
    assert "x-model-substituted" not in headers


def test_an_embedding_without_a_model_is_never_substituted() -> None:
    record = a_record("/embeddings")
    record.target = Target("main", ENDPOINT, model="gpt-4o")
    assert "x-model-substituted" not in response_headers(record, an_answer(x_negotiated_model="text-embedding"))


def test_a_substitute_of_the_registered_model_is_reported() -> None:
    record = a_record()
    record.target = Target("main", ENDPOINT, model="gpt-4o")
    assert response_headers(record, an_answer(x_negotiated_model="b"))["x-model-substituted"] == "true"


@pytest.mark.parametrize(("status", "told"), [("failed", "failed"), ("healthy", None), ("pending", None)])
def test_reports_only_a_failed_provider_status(status: str, told: str | None) -> None:
    assert response_headers(a_record(status=status), an_answer()).get("x-provider-status") == told
    assert error_reply(StreamTruncated(), a_record(status=status)).headers.get("x-provider-status") == told


def test_provider_cannot_override_our_headers() -> None:
    down = response_headers(a_record(), an_answer(x_request_id="forged", x_provider_id="forged"))
    assert (down["x-request-id"], down["x-provider-id"]) == ("request-1", "main")


def test_error_reply_is_json_in_the_one_shape_with_its_source() -> None:
    reply = error_reply(StreamTruncated(), a_record())
    assert (reply.status, reply.stream) == (502, None)
    assert reply.headers == {
        "content-type": "application/json",
        "x-content-type-options": "nosniff",
        "x-request-id": "request-1",
        "request-id": "request-1",
        "x-error-source": "gateway",
        "x-provider-id": "main",
    }
    assert json.loads(reply.body) == StreamTruncated().body()


def test_error_reply_without_a_provider_names_none() -> None:
    assert "x-provider-id" not in error_reply(NoProvider(), RequestLog(a_request())).headers


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InvalidRequest("x"), "false"),
        (ProviderError(429, "x", code="provider_budget_spent", retryable=False), "false"),
        (ProviderError(429, "x", code="provider_rate_limited", retryable=True), None),
        (StreamTruncated(), None),
    ],
)
def test_sets_x_should_retry_false_where_a_retry_is_useless(
    error: InvalidRequest | ProviderError, told: str | None
) -> None:
    assert error_reply(error, a_record()).headers.get("x-should-retry") == told


def test_names_the_provider_as_the_source_of_its_errors() -> None:
    reply = error_reply(ProviderError(418, "x", code="c", retryable=True), a_record())
    assert (reply.status, reply.headers["x-error-source"]) == (418, "tokenhub")


@pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens", "/chat/completions", "/models"])
def test_errors_have_the_outer_type_on_every_path(path: str) -> None:
    content = json.loads(error_reply(StreamTruncated(), a_record(path)).body)
    assert (content["type"], content["error"]["code"]) == ("error", "stream_truncated")


def test_reads_a_body_to_its_end() -> None:
    assert read_up_to(9, iter([b"a", b"", b"bc"])) == (b"abc", True)
    assert read_up_to(9, iter([])) == (b"", True)
    assert read_up_to(3, iter([b"ab", b"c"])) == (b"abc", True)


def test_stops_reading_at_the_chunk_that_exceeds_the_limit() -> None:
    chunks: Iterator[bytes] = iter([b"ab", b"cd", b"ef"])
    assert read_up_to(3, chunks) == (b"abcd", False)
    assert list(chunks) == [b"ef"]


def test_passes_on_and_counts_the_rest_of_a_long_body() -> None:
    record = a_record()
    assert list(long_body(b"abcd", iter([b"ef", b"g"]), record)) == [b"abcd", b"ef", b"g"]
    assert (record.bytes_down, record.chunks, record.code) == (3, 2, None)  # what was held is counted where it is taken


def test_raises_and_records_when_a_long_body_breaks_off() -> None:
    def breaks() -> Iterator[bytes]:
        yield b"ef"
        raise AnswerTruncated

    record, came = a_record(), list[bytes]()
    with pytest.raises(AnswerTruncated):
        came.extend(long_body(b"abcd", breaks(), record))
    assert came == [b"abcd", b"ef"]
    assert (record.bytes_down, record.code) == (2, "answer_truncated")


@pytest.mark.parametrize("body", [b"{}", b"[", b" \r\n\t{", b"\xef\xbb\xbf{}", b'{"cut', b" " * 99_999 + b"[]"])
def test_accepts_a_body_that_begins_like_json(body: bytes) -> None:
    require_json(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\n<!DOCTYPE html>", "is a web page"),
        (b"pong", "is not JSON"),
        (b'"a"', "is not JSON"),
        (b"7", "is not JSON"),
        (b"null", "is not JSON"),
        (b"\x1f\x8b\x08", "is not JSON"),
        (b"\xa0{}", "is not JSON"),
    ],
)
def test_rejects_a_body_that_is_not_json(body: bytes, message: str) -> None:
    with pytest.raises(NotJson, match=message) as caught:
        require_json(body)
    assert (caught.value.status, caught.value.retryable) == (502, False)


def test_an_error_keeps_the_providers_rate_limit_headers() -> None:
    answer = an_answer(retry_after="1", retry_after_ms="900", x_ratelimit_limit_requests="5", cache_control="no-store")
    headers = error_reply(StreamTruncated(), a_record(), answer).headers
    assert (headers["retry-after"], headers["retry-after-ms"], headers["x-ratelimit-limit-requests"]) == (
        "1",
        "900",
        "5",
    )
    assert "cache-control" not in headers


def test_a_late_stream_names_its_provider_if_it_is_known() -> None:
    headers = late_stream_headers(a_record(status="failed"))
    assert (headers["x-provider-id"], headers["x-provider-status"]) == ("main", "failed")
    assert (headers["x-request-id"], headers["request-id"]) == ("request-1", "request-1")
    assert "x-provider-id" not in late_stream_headers(RequestLog(a_request()))
