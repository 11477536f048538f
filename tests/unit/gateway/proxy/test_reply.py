import json
from collections.abc import Iterator

import pytest

from gateway.core.errors import AnswerTruncated, InvalidRequest, NoProvider, ProviderError, StreamTruncated
from gateway.proxy.reply import error_response, response_headers, rest, take
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


def test_the_providers_headers_come_down_beside_ours() -> None:
    down = response_headers(a_record(), an_answer(content_type="application/json", x_alias_from="*"))
    assert down.pop("server-timing").startswith("provider;dur=7, gateway;dur=")
    assert down == {
        "content-type": "application/json",
        "x-alias-from": "*",
        "x-content-type-options": "nosniff",
        "x-request-id": "request-1",
        "x-provider-id": "main",
    }


def test_the_timing_tells_the_gateways_share_from_the_providers() -> None:
    record = a_record()
    record.clock = lambda: record.began + 0.0204
    assert response_headers(record, an_answer())["server-timing"] == "provider;dur=7, gateway;dur=13"
    record.clock = lambda: record.began
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
    ],
)
def test_another_model_than_the_asked_one_is_told_of(
    asked: str | None, headers: dict[str, str], served: str | None, told: str | None
) -> None:
    record = a_record(model=asked)
    record.model_served = served
    assert response_headers(record, an_answer(**headers)).get("x-model-substituted") == told


@pytest.mark.parametrize(("status", "told"), [("failed", "failed"), ("healthy", None), ("pending", None)])
def test_only_a_failed_provider_is_told_of(status: str, told: str | None) -> None:
    assert response_headers(a_record(status=status), an_answer()).get("x-provider-status") == told
    assert error_response(StreamTruncated(), a_record(status=status))[1].get("x-provider-status") == told


def test_a_provider_cannot_forge_our_headers() -> None:
    down = response_headers(a_record(), an_answer(x_request_id="forged", x_provider_id="forged"))
    assert (down["x-request-id"], down["x-provider-id"]) == ("request-1", "main")


def test_an_error_is_json_in_the_one_shape_with_its_source() -> None:
    status, headers, body = error_response(StreamTruncated(), a_record())
    assert status == 502
    assert headers == {
        "content-type": "application/json",
        "x-content-type-options": "nosniff",
        "x-request-id": "request-1",
        "x-error-source": "gateway",
        "x-provider-id": "main",
    }
    assert json.loads(body) == StreamTruncated().body()


def test_an_error_before_there_is_a_provider_names_none() -> None:
    _, headers, _ = error_response(NoProvider(), RequestLog(a_request()))
    assert "x-provider-id" not in headers


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InvalidRequest("x"), "false"),
        (ProviderError(429, "x", code="provider_budget_spent", retryable=False), "false"),
        (ProviderError(429, "x", code="provider_rate_limited", retryable=True), None),
        (StreamTruncated(), None),
    ],
)
def test_an_sdk_is_told_when_a_retry_is_useless(error: InvalidRequest | ProviderError, told: str | None) -> None:
    _, headers, _ = error_response(error, a_record())
    assert headers.get("x-should-retry") == told


def test_the_providers_own_refusal_has_the_provider_as_its_source() -> None:
    status, headers, _ = error_response(ProviderError(418, "x", code="c", retryable=True), a_record())
    assert (status, headers["x-error-source"]) == (418, "provider")


@pytest.mark.parametrize(("path", "typed"), [("/messages", True), ("/chat/completions", False), ("/models", False)])
def test_an_error_of_the_messages_route_has_the_type_that_anthropics_sdk_looks_for(path: str, typed: bool) -> None:
    _, _, body = error_response(StreamTruncated(), a_record(path))
    content = json.loads(body)
    assert (content.get("type") == "error") is typed
    assert content["error"]["code"] == "stream_truncated"


def test_a_body_is_taken_to_its_end() -> None:
    assert take(iter([b"a", b"", b"bc"])) == (b"abc", True)
    assert take(iter([])) == (b"", True)
    assert take(iter([b"ab", b"c"]), most=3) == (b"abc", True)


def test_a_body_is_taken_up_to_the_chunk_that_is_too_much_and_the_rest_is_left() -> None:
    chunks: Iterator[bytes] = iter([b"ab", b"cd", b"ef"])
    assert take(chunks, most=3) == (b"abcd", False)
    assert list(chunks) == [b"ef"]


def test_what_follows_a_body_that_was_too_much_comes_down_and_is_counted() -> None:
    record = a_record()
    assert list(rest(b"abcd", iter([b"ef", b"g"]), record)) == [b"abcd", b"ef", b"g"]
    assert (record.bytes_down, record.chunks, record.code) == (3, 2, None)  # what was held is counted where it is taken


def test_an_answer_that_breaks_off_behind_its_head_raises_and_its_record_says_so() -> None:
    def breaks() -> Iterator[bytes]:
        yield b"ef"
        raise AnswerTruncated

    record, came = a_record(), list[bytes]()
    with pytest.raises(AnswerTruncated):
        came.extend(rest(b"abcd", breaks(), record))
    assert came == [b"abcd", b"ef"]
    assert (record.bytes_down, record.code) == (2, "answer_truncated")
