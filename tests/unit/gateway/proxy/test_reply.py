import json
from collections.abc import Iterator

import pytest

from gateway.core.answer_errors import NotJson
from gateway.core.errors import AnswerTruncated, InvalidRequest, NoProvider, ProviderError, StreamTruncated
from gateway.proxy.reply import error_reply, late_stream_headers, long_body, read_up_to, require_json, response_headers
from gateway.proxy.request_log import RequestLog
from gateway.proxy.upstream import Target, UpstreamResponse
from tests.unit.gateway.builders import ENDPOINT, KEY, a_request


def a_log(path: str = "/chat/completions", status: str = "healthy", model: str | None = None) -> RequestLog:
    log = RequestLog(a_request(path=path, model=model))
    log.target = Target("main", ENDPOINT, status=status, key=KEY)
    return log


def a_response(**headers: str) -> UpstreamResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return UpstreamResponse(200, named, (piece for piece in [b""]), 7.4, lambda: None)


def test_returns_the_providers_headers_and_ours() -> None:
    headers = response_headers(a_log(), a_response(content_type="application/json", x_alias_from="*"))
    assert headers.pop("server-timing").startswith("provider;dur=7, gateway;dur=")
    assert headers == {
        "content-type": "application/json",
        "x-alias-from": "*",
        "x-content-type-options": "nosniff",
        "x-request-id": "request-1",
        "request-id": "request-1",
        "x-provider-id": "main",
    }


def test_server_timing_separates_gateway_and_provider() -> None:
    log = a_log()
    log.clock = lambda: log.started_at + 0.0204
    assert response_headers(log, a_response())["server-timing"] == "provider;dur=7, gateway;dur=13"
    log.clock = lambda: log.started_at
    assert response_headers(log, a_response())["server-timing"] == "provider;dur=7, gateway;dur=0"


@pytest.mark.parametrize(
    ("asked", "headers", "served", "expected"),
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
    asked: str | None, headers: dict[str, str], served: str | None, expected: str | None
) -> None:
    log = a_log(model=asked)
    log.model_served = served
    assert response_headers(log, a_response(**headers)).get("x-model-substituted") == expected


@pytest.mark.parametrize("path", ["/chat", "/plan"])
def test_a_model_hint_is_never_substituted(path: str) -> None:
    headers = response_headers(a_log(path, model="a"), a_response(x_negotiated_model="b"))
    assert "x-model-substituted" not in headers


def test_an_embedding_without_a_model_is_never_substituted() -> None:
    log = a_log("/embeddings")
    log.target = Target("main", ENDPOINT, model="gpt-4o")
    assert "x-model-substituted" not in response_headers(log, a_response(x_negotiated_model="text-embedding"))


def test_a_substitute_of_the_registered_model_is_reported() -> None:
    log = a_log()
    log.target = Target("main", ENDPOINT, model="gpt-4o")
    assert response_headers(log, a_response(x_negotiated_model="b"))["x-model-substituted"] == "true"


@pytest.mark.parametrize(("status", "expected"), [("failed", "failed"), ("healthy", None), ("pending", None)])
def test_reports_only_a_failed_provider_status(status: str, expected: str | None) -> None:
    assert response_headers(a_log(status=status), a_response()).get("x-provider-status") == expected
    assert error_reply(StreamTruncated(), a_log(status=status)).headers.get("x-provider-status") == expected


def test_provider_cannot_override_our_headers() -> None:
    headers = response_headers(a_log(), a_response(x_request_id="forged", x_provider_id="forged"))
    assert (headers["x-request-id"], headers["x-provider-id"]) == ("request-1", "main")


def test_error_reply_is_json_in_the_common_shape_with_its_source() -> None:
    reply = error_reply(StreamTruncated(), a_log())
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


def test_error_reply_without_a_provider_has_no_provider_header() -> None:
    assert "x-provider-id" not in error_reply(NoProvider(), RequestLog(a_request())).headers


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InvalidRequest("x"), "false"),
        (ProviderError(429, "x", code="provider_budget_spent", retryable=False), "false"),
        (ProviderError(429, "x", code="provider_rate_limited", retryable=True), None),
        (StreamTruncated(), None),
    ],
)
def test_sets_x_should_retry_false_where_a_retry_is_useless(
    error: InvalidRequest | ProviderError, expected: str | None
) -> None:
    assert error_reply(error, a_log()).headers.get("x-should-retry") == expected


def test_names_the_provider_as_the_source_of_its_errors() -> None:
    reply = error_reply(ProviderError(418, "x", code="c", retryable=True), a_log())
    assert (reply.status, reply.headers["x-error-source"]) == (418, "tokenhub")


@pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens", "/chat/completions", "/models"])
def test_errors_have_the_outer_type_on_every_path(path: str) -> None:
    content = json.loads(error_reply(StreamTruncated(), a_log(path)).body)
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
    log = a_log()
    assert list(long_body(b"abcd", iter([b"ef", b"g"]), log)) == [b"abcd", b"ef", b"g"]
    # The buffered beginning was counted when it was read.
    assert (log.bytes_down, log.chunks, log.code) == (3, 2, None)


def test_raises_and_records_when_a_long_body_breaks_off() -> None:
    def breaks() -> Iterator[bytes]:
        yield b"ef"
        raise AnswerTruncated

    log, received = a_log(), list[bytes]()
    with pytest.raises(AnswerTruncated):
        received.extend(long_body(b"abcd", breaks(), log))
    assert received == [b"abcd", b"ef"]
    assert (log.bytes_down, log.code) == (2, "answer_truncated")


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
    limits = {"retry_after": "1", "retry_after_ms": "900", "x_ratelimit_limit_requests": "5"}
    headers = error_reply(StreamTruncated(), a_log(), a_response(**limits, cache_control="no-store")).headers
    assert (headers["retry-after"], headers["retry-after-ms"], headers["x-ratelimit-limit-requests"]) == (
        "1",
        "900",
        "5",
    )
    assert "cache-control" not in headers


def test_a_late_stream_names_its_provider_if_it_is_known() -> None:
    headers = late_stream_headers(a_log(status="failed"))
    assert (headers["x-provider-id"], headers["x-provider-status"]) == ("main", "failed")
    assert (headers["x-request-id"], headers["request-id"]) == ("request-1", "request-1")
    assert "x-provider-id" not in late_stream_headers(RequestLog(a_request()))
