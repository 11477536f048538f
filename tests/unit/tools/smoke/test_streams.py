"""The stream checks for a real TokenHub. The rehearsal TokenHub stands in for it."""

import re
from collections.abc import Iterator

import pytest

from tests.rehearsal import KEY, RunningTokenHub
from tests.scripted_server import JSON, Ending, ScriptedServer, always, chunk, response
from tools.smoke.check import Failed, Target
from tools.smoke.streams import chunk_timing, first_event, truncated_large_response
from tools.smoke.wire import Gateway


@pytest.fixture
def tokenhub() -> Iterator[RunningTokenHub]:
    with RunningTokenHub() as running:
        yield running


def test_reports_the_time_between_the_first_two_events(tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("slow", times=1, delay_ms=50)

    actual = first_event(Target(Gateway(tokenhub.url, KEY), None, is_rehearsal=False))

    assert re.fullmatch(r"\d+ after \d+\.\d\d s, the next \d+\.\d\d s later", actual)


def test_rejects_a_stream_in_one_piece(tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("crlf", times=1)

    with pytest.raises(Failed, match="1 chunks"):
        first_event(Target(Gateway(tokenhub.url, KEY), None, is_rehearsal=False))


def timing_of(*pauses: float) -> str:
    """Checks a stream of twelve chunks, the last of which follow pauses of these seconds."""
    pieces = [(b"data: x\n\n",)] * (12 - len(pauses)) + [(pause, b"data: x\n\n") for pause in pauses]
    with ScriptedServer(always(*response(tuple(piece for each in pieces for piece in each)))) as server:
        return chunk_timing(Target(Gateway(server.url, KEY), None, is_rehearsal=True))


def test_a_stall_does_not_fail_the_timing_of_a_stream() -> None:
    assert "longest 1." in timing_of(1.0)


def test_rejects_a_stream_whose_chunks_are_held_back() -> None:
    with pytest.raises(Failed, match=r"3 gaps over 0\.3 s"):
        timing_of(0.5, 0.5, 0.5)


TRAILERS = b"0\r\nLambda-Runtime-Function-Error-Type: Function.AnswerTruncated\r\n\r\n"


@pytest.mark.parametrize(
    ("ending", "described"),
    [
        ("reset", "200, 1 bytes, 1 chunks, INCOMPLETE: the connection was reset"),
        ("close", "200, 1 bytes, 1 chunks, INCOMPLETE: the connection was closed before the end of the body"),
    ],
)
def test_describes_how_a_truncated_response_ended(ending: Ending, described: str) -> None:
    # Without a pause the reset may discard bytes that the client has not read.
    with ScriptedServer(always(*response((b"{", 1.0), headers=JSON, ending=ending))) as server:
        gateway = Gateway(server.url, KEY)

        assert truncated_large_response(Target(gateway, None, is_rehearsal=True)) == described


def test_describes_a_truncated_response_that_ends_with_trailers() -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    with ScriptedServer(always(head, chunk(b"{"), TRAILERS)) as server:
        described = truncated_large_response(Target(Gateway(server.url, KEY), None, is_rehearsal=True))

    assert described.startswith("200, 1 bytes, 1 chunks, complete, trailers Lambda-Runtime-Function-Error-Type")
    assert described.endswith(": ended with trailers")


def test_rejects_a_truncated_response_that_ends_like_a_complete_one() -> None:
    with (
        ScriptedServer(always(*response((b"{",), headers=JSON))) as server,
        pytest.raises(Failed, match="complete: ended like a complete response"),
    ):
        truncated_large_response(Target(Gateway(server.url, KEY), None, is_rehearsal=True))
