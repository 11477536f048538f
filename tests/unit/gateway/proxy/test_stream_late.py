import json
from collections.abc import Generator
from dataclasses import dataclass, field

import pytest

from gateway.core.errors import DeadlineExceeded, GatewayError, ProviderUnreachable
from gateway.proxy.exchange import Exchange
from gateway.proxy.reply import late_stream_headers
from gateway.proxy.request_log import RequestLog
from gateway.proxy.sse import KEEP_ALIVE
from gateway.proxy.stream import relay_late
from gateway.proxy.upstream import Target, UpstreamResponse
from tests.unit.gateway.builders import ENDPOINT, a_request
from tests.unit.gateway.streams import BODY, UNFINISHED, only_error

# The redactor knows this key only because it is registered: no pattern matches its shape.
KEY = "c0ffee-0123456789-abcdefghij"


@dataclass
class Late:
    """Relays a stream whose head arrives after two more keep-alives. Has the log of its request."""

    log: RequestLog = field(default_factory=lambda: RequestLog(a_request(stream=True)))

    def relayed(
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
        return relay_late(exchange, self.chunks(exchange), self.log)

    def chunks(self, exchange: Exchange) -> Generator[bytes]:
        yield KEEP_ALIVE
        yield KEEP_ALIVE
        yield from exchange.chunks()


@pytest.fixture
def late() -> Late:
    return Late()


def test_sends_keep_alives_and_then_the_unchanged_stream(late: Late) -> None:
    assert list(late.relayed(*BODY)) == [KEEP_ALIVE] * 3 + BODY
    assert (late.log.stream_end, late.log.status, late.log.code) == ("done", 200, None)
    assert late.log.target is not None
    assert late.log.bytes_down == len(b"".join(BODY))


def test_late_headers_are_those_of_a_stream() -> None:
    assert late_stream_headers(RequestLog(a_request(stream=True))) == {
        "content-type": "text/event-stream",
        "cache-control": "no-cache",
        "x-content-type-options": "nosniff",
        "x-request-id": "request-1",
        "request-id": "request-1",
    }


def test_turns_a_late_400_into_an_error_frame(late: Late) -> None:
    error = only_error(b"".join(late.relayed(b"no", status=400)))
    assert (error["status"], error["source"]) == (400, "tokenhub")


def test_starts_with_a_keep_alive(late: Late) -> None:
    stream = late.relayed(error=ZeroDivisionError())
    assert next(stream) == KEEP_ALIVE
    assert late.log.stream_end == "client_gone"
    stream.close()


def test_ends_a_broken_late_stream_with_an_error_frame(late: Late) -> None:
    assert only_error(b"".join(late.relayed(*UNFINISHED)))["code"] == "stream_truncated"
    assert late.log.stream_end == "truncated"


def test_treats_an_empty_late_stream_as_truncated(late: Late) -> None:
    assert only_error(b"".join(late.relayed()))["code"] == "stream_truncated"


@pytest.mark.parametrize(
    ("error", "end"), [(ProviderUnreachable("not there"), "error"), (DeadlineExceeded("late"), "deadline")]
)
def test_turns_a_late_failure_into_an_error_frame(late: Late, error: GatewayError, end: str) -> None:
    fields = only_error(b"".join(late.relayed(error=error)))
    assert (fields["code"], fields["message"], fields["source"]) == (error.code, error.message, "gateway")
    assert (fields["status"], fields["retryable"]) == (error.status, True)
    assert (late.log.stream_end, late.log.code) == (end, error.code)


def test_turns_a_late_refusal_into_an_error_frame_with_status_and_message(late: Late) -> None:
    refusal = json.dumps({"error": f"no credit for {KEY}"}).encode()
    body = late.relayed(refusal[:9], refusal[9:], status=429, content_type="application/json")
    error = only_error(b"".join(body))
    assert (error["status"], error["source"], error["code"]) == (429, "tokenhub", "provider_rate_limited")
    assert str(error["message"]).startswith("no credit for [redacted]")


def test_turns_a_late_answer_that_is_not_a_stream_into_an_error_frame(late: Late) -> None:
    body = b"".join(late.relayed(b'{"choices": []}', content_type="application/json"))
    assert only_error(body)["code"] == "not_a_stream"
    assert b"choices" not in body


def test_records_a_client_that_leaves_a_late_stream(late: Late) -> None:
    stream = late.relayed(*BODY)
    assert [next(stream) for _ in range(4)][-1] == BODY[0]
    stream.close()
    assert late.log.stream_end == "client_gone"
