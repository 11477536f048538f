import json
from collections.abc import Generator
from dataclasses import dataclass, field

import pytest

from gateway.core.errors import DeadlineExceeded, GatewayError, ProviderUnreachable
from gateway.proxy.exchange import Exchange
from gateway.proxy.late_stream import HEADERS, late_stream
from gateway.proxy.request_log import RequestLog
from gateway.proxy.sse import KEEP_ALIVE
from gateway.proxy.upstream import Target, UpstreamResponse
from tests.unit.gateway.builders import ENDPOINT, a_request
from tests.unit.gateway.streams import BODY, UNFINISHED, only_error

KEY = "c0ffee-0123456789-abcdefghij"  # of no shape that a redactor could know without being told


@dataclass
class Late:
    """A stream whose head comes after two more comments, and what became of its chunks."""

    record: RequestLog = field(default_factory=lambda: RequestLog(a_request(stream=True)))
    closed: bool = False

    def answers(
        self, *body: bytes, status: int = 200, content_type: str = "text/event-stream", error: Exception | None = None
    ) -> Generator[bytes]:
        def send() -> tuple[Target, UpstreamResponse]:
            if error is not None:
                raise error
            headers = {"content-type": content_type}
            return Target("main", ENDPOINT, key=KEY), UpstreamResponse(status, headers, pieces(), 1.0, lambda: None)

        def pieces() -> Generator[bytes]:
            yield from body

        exchange = Exchange(send)
        return late_stream(exchange, self.chunks(exchange), self.record)

    def chunks(self, exchange: Exchange) -> Generator[bytes]:
        try:
            yield KEEP_ALIVE
            yield KEEP_ALIVE
            yield from exchange.source()
        finally:
            self.closed = True


@pytest.fixture
def late() -> Late:
    return Late()


def test_comments_come_in_the_silence_and_then_the_stream_byte_for_byte(late: Late) -> None:
    assert list(late.answers(*BODY)) == [KEEP_ALIVE] * 3 + BODY
    assert (late.record.stream_end, late.record.status, late.record.code) == ("done", 200, None)
    assert late.record.target is not None
    assert late.record.bytes_down == len(b"".join(BODY))
    assert late.closed


def test_the_head_that_goes_down_without_the_providers_is_a_streams() -> None:
    assert HEADERS == {
        "content-type": "text/event-stream",
        "cache-control": "no-cache",
        "x-content-type-options": "nosniff",
    }


def test_a_late_400_is_a_refusal_too(late: Late) -> None:
    told = only_error(b"".join(late.answers(b"no", status=400)))
    assert (told["status"], told["source"]) == (400, "provider")


def test_the_first_comment_comes_at_once_because_the_silence_is_long_already(late: Late) -> None:
    stream = late.answers(error=ZeroDivisionError())
    assert next(stream) == KEEP_ALIVE
    assert late.record.stream_end == "client_gone"
    stream.close()


def test_a_stream_that_breaks_off_ends_as_any_other(late: Late) -> None:
    assert only_error(b"".join(late.answers(*UNFINISHED)))["code"] == "stream_truncated"
    assert late.record.stream_end == "truncated"


def test_a_late_stream_without_a_byte_is_truncated(late: Late) -> None:
    assert only_error(b"".join(late.answers()))["code"] == "stream_truncated"


@pytest.mark.parametrize(
    ("error", "end"), [(ProviderUnreachable("not there"), "error"), (DeadlineExceeded("late"), "deadline")]
)
def test_a_head_that_fails_is_told_in_band(late: Late, error: GatewayError, end: str) -> None:
    told = only_error(b"".join(late.answers(error=error)))
    assert (told["code"], told["message"], told["source"]) == (error.code, error.message, "gateway")
    assert (told["status"], told["retryable"]) == (error.status, True)
    assert (late.record.stream_end, late.record.code) == (end, error.code)
    assert late.closed


def test_a_late_refusal_is_told_in_band_with_the_providers_status_and_words(late: Late) -> None:
    words = json.dumps({"error": f"no credit for {KEY}"}).encode()
    got = late.answers(words[:9], words[9:], status=429, content_type="application/json")
    told = only_error(b"".join(got))
    assert (told["status"], told["source"], told["code"]) == (429, "provider", "provider_rate_limited")
    assert str(told["message"]).startswith("no credit for [redacted]")
    assert late.closed


def test_a_late_answer_that_is_no_stream_is_told_as_such(late: Late) -> None:
    got = b"".join(late.answers(b'{"choices": []}', content_type="application/json"))
    assert only_error(got)["code"] == "not_a_stream"
    assert b"choices" not in got
    assert late.closed


def test_a_client_that_leaves_the_stream_ends_the_answer(late: Late) -> None:
    stream = late.answers(*BODY)
    assert [next(stream) for _ in range(4)][-1] == BODY[0]
    stream.close()
    assert (late.closed, late.record.stream_end) == (True, "client_gone")
