"""The wire as it varies: byte order marks, forms of the end mark, and events of several megabytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.frames import MAX_BUFFERED_FRAME_BYTES, MAX_READ_FRAME_BYTES, FrameSplitter
from gateway.proxy.sse import END_MARK, StreamWatcher
from tests.unit.gateway.builders import BRIEFLY
from tests.unit.gateway.streams import BODY, token

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def watched(*chunks: bytes) -> tuple[bytes, StreamWatcher]:
    """Returns what a client receives of a body that ends cleanly."""
    watcher = StreamWatcher()
    output = b"".join(watcher.feed(chunk) for chunk in chunks)
    return output + watcher.end(), watcher


@BRIEFLY
@given(st.integers(0, 5))
def test_leaves_a_byte_order_mark_out_wherever_it_is_cut(cut: int) -> None:
    body = BYTE_ORDER_MARK + b"".join(BODY)
    output, watcher = watched(body[:cut], body[cut:])
    assert output == b"".join(BODY)
    assert watcher.done


def test_a_byte_order_mark_within_the_stream_stays() -> None:
    output, _ = watched(BODY[0], BYTE_ORDER_MARK + BODY[1], *BODY[2:])
    assert output == BODY[0] + BYTE_ORDER_MARK + b"".join(BODY[1:])


@pytest.mark.parametrize("start", [b"\xef", b"\xef\xbb", b"\xefx"])
def test_passes_on_a_start_that_only_resembles_a_byte_order_mark(start: bytes) -> None:
    output, _ = watched(start, b"\n\n", *BODY)
    assert output == start + b"\n\n" + b"".join(BODY)


@pytest.mark.parametrize(
    "mark",
    [
        b"data: [DONE] \n\n",
        b"data:[DONE]\n\n",
        b"data: [DONE]\r\n\r\n",
        b"data:  [DONE]\n\n",
        b"event: x\ndata: [DONE]\n\n",
    ],
)
def test_writes_every_form_of_the_end_mark_alike_and_nothing_after_it(mark: bytes) -> None:
    output, watcher = watched(*BODY[:-1], mark + b": more\n\n", token("late"))
    assert output == b"".join(BODY[:-1]) + END_MARK
    assert watcher.done


def large(size: int, **more: object) -> bytes:
    return token("x" * size, **more)


def pieces_of(event: bytes) -> list[bytes]:
    return [event[start : start + 65_536] for start in range(0, len(event), 65_536)]


@pytest.mark.parametrize("ends", [b"", b"\n", b"\n\n"])
def test_reads_the_finish_reason_of_an_event_of_5_mb(ends: bytes) -> None:
    event = large(5 * 1024 * 1024, finish_reason="stop").rstrip(b"\n") + ends
    output, watcher = watched(BODY[0], *pieces_of(event))
    assert watcher.whole_at_end()
    assert output.rstrip(b"\n") == BODY[0] + event.rstrip(b"\n")
    assert output.endswith(b"}\n\n")


def test_does_not_read_an_event_over_8_mb() -> None:
    event = large(MAX_READ_FRAME_BYTES, finish_reason="stop")
    _, watcher = watched(event[:MAX_READ_FRAME_BYTES], event[MAX_READ_FRAME_BYTES:])
    assert not watcher.whole_at_end()


@BRIEFLY
@given(st.data())
def test_the_pieces_are_the_body_and_their_frames_have_no_blank_line(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([10, MAX_BUFFERED_FRAME_BYTES + 1]))
    body = b": first\n\n" + large(size) + b"data: last\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=5)))
    splitter = FrameSplitter()
    chunks = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)]
    frames = [piece.frame for piece in pieces if piece.frame is not None]
    assert (b"".join(piece.data for piece in pieces)).rstrip() == body.rstrip()
    assert [frames[0], frames[-1]] == [b": first", b"data: last"]
    assert json.loads(frames[1].removeprefix(b"data: "))["model"] == "echo"
