import json
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest

from gateway.errors import ProviderUnreachable, StreamTruncated
from gateway.late import Head, late_stream
from gateway.record import Record
from gateway.sse import KEEP_ALIVE
from gateway.upstream import Answer, Target, Upstream
from tests.unit.gateway.builders import ENDPOINT, KEY, a_request
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.sending import STREAMED, assert_released, send
from tests.unit.gateway.servers import HANG, STREAM, always, answer, chunk
from tests.unit.gateway.test_relay import BODY, UNFINISHED, only_error

EVERY = 0.05


@dataclass
class Late:
    """A stream whose head comes when the test says so, and what became of the answer."""

    record: Record = field(default_factory=lambda: Record(a_request(stream=True)))
    head: Head = field(default_factory=Future)
    hung_up: bool = False
    closed: bool = False

    def stream(self, seconds: float = 5) -> Generator[bytes]:
        deadline = time.monotonic() + seconds
        return late_stream(self.head, lambda got: got.chunks, self.record, every=EVERY, deadline=deadline)

    def answers(self, *chunks: bytes, status: int = 200, content_type: str = "text/event-stream") -> None:
        def body() -> Generator[bytes]:
            try:
                yield b""
                yield from chunks
            finally:
                self.closed = True

        started = body()
        next(started)
        got = Answer(status, {"content-type": content_type}, started, 1.0, self.hang_up)
        self.head.set_result((Target("main", ENDPOINT, key=KEY), got))

    def hang_up(self) -> None:
        self.hung_up = True


@pytest.fixture
def late() -> Iterator[Late]:
    made = Late()
    yield made
    if not made.head.done():
        made.head.set_exception(StreamTruncated())


def test_comments_come_in_the_silence_and_then_the_stream_byte_for_byte(late: Late) -> None:
    threading.Timer(0.22, late.answers, BODY).start()
    began = time.monotonic()
    got = list(late.stream())
    assert 0.2 < time.monotonic() - began < 1
    comments = got.index(BODY[0])
    assert got == [KEEP_ALIVE] * comments + BODY
    assert 3 <= comments <= 6
    assert (late.record.stream_end, late.record.status, late.record.code) == ("done", 200, None)
    assert late.record.target is not None
    assert late.closed


def test_the_first_comment_comes_at_once_because_the_silence_is_long_already(late: Late) -> None:
    began = time.monotonic()
    stream = late.stream()
    assert next(stream) == KEEP_ALIVE
    assert time.monotonic() - began < 0.04
    assert next(stream) == KEEP_ALIVE
    assert 0.04 < time.monotonic() - began < 0.2
    stream.close()


def test_a_stream_that_breaks_off_ends_as_any_other(late: Late) -> None:
    late.answers(*UNFINISHED)
    got = b"".join(late.stream())
    assert only_error(got)["code"] == "stream_truncated"
    assert late.record.stream_end == "truncated"


def test_a_head_that_fails_is_told_in_band(late: Late) -> None:
    late.head.set_exception(ProviderUnreachable("not there"))
    error = only_error(b"".join(late.stream()))
    assert (error["code"], error["message"], error["source"]) == ("provider_unreachable", "not there", "gateway")
    assert (error["status"], error["retryable"]) == (502, True)
    assert (late.record.stream_end, late.record.code) == ("error", "provider_unreachable")


def test_a_head_that_does_not_come_in_time_is_told_as_the_deadline(late: Late) -> None:
    began = time.monotonic()
    got = b"".join(late.stream(seconds=0.12))
    assert 0.1 < time.monotonic() - began < 0.5
    assert got.startswith(KEEP_ALIVE)
    assert only_error(got)["code"] == "deadline"
    assert (late.record.stream_end, late.record.code) == ("deadline", "deadline")


def test_a_late_refusal_is_told_in_band_with_the_providers_status_and_words(late: Late) -> None:
    late.answers(json.dumps({"error": f"no credit for {KEY}"}).encode(), status=429, content_type="application/json")
    error = only_error(b"".join(late.stream()))
    assert (error["status"], error["source"], error["code"]) == (429, "provider", "provider_rate_limited")
    assert str(error["message"]).startswith("no credit for [redacted]")


def test_a_late_answer_that_is_no_stream_is_told_as_such(late: Late) -> None:
    late.answers(b'{"choices": []}', content_type="application/json")
    got = b"".join(late.stream())
    assert only_error(got)["code"] == "not_a_stream"
    assert b"choices" not in got
    assert late.hung_up


def test_a_trouble_of_our_own_ends_the_stream_honestly_too(late: Late) -> None:
    late.head.set_exception(ZeroDivisionError("secret"))
    got = b"".join(late.stream())
    assert only_error(got)["code"] == "internal_error"
    assert b"secret" not in got


def test_a_client_that_leaves_in_the_silence_ends_the_answer_as_soon_as_it_comes(late: Late) -> None:
    stream = late.stream()
    next(stream)
    stream.close()
    assert late.record.stream_end == "client_gone"
    assert not late.hung_up
    late.answers(*BODY)
    assert late.hung_up


def test_a_client_that_leaves_the_stream_ends_the_answer(late: Late) -> None:
    late.answers(*BODY)
    stream = late.stream()
    assert next(stream) == BODY[0]
    stream.close()
    assert (late.hung_up, late.closed, late.record.stream_end) == (True, True, "client_gone")


@pytest.mark.parametrize("refused", [answer(502, b"no"), answer(body=b"{}"), STREAM + chunk(BODY[0])])
def test_no_connection_is_left_behind(serve: Serve, upstream: Upstream, refused: bytes) -> None:
    late = Late()
    server = serve(always(refused, HANG))
    late.head.set_result((Target("main", server.url), send(upstream, server, STREAMED)))
    stream = late.stream()
    next(stream)
    stream.close()
    late.head = Future()  # the last to hold the answer
    assert_released(upstream)
