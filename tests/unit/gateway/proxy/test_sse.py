import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import StreamTruncated
from gateway.proxy.error_frames import error_frame
from gateway.proxy.frames import MAX_BUFFERED_FRAME_BYTES
from gateway.proxy.sse import END_MARK, KEEP_ALIVE, StreamWatcher
from gateway.proxy.usage import Usage
from tests.unit.gateway.builders import BRIEFLY

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)
LINES = st.one_of(
    TEXT.map(lambda text: ": " + text),
    TEXT.map(lambda text: "data: " + json.dumps({"choices": [{"delta": {"content": text}}]}, ensure_ascii=False)),
    TEXT.map(lambda text: "data:" + text),
    TEXT.map(lambda text: "event: " + text),
    st.just("data: [DONE"),
    st.just("id"),
)
BREAKS = st.sampled_from(["\n", "\r\n", "\r"])
# A frame's own breaks are all alike, so that its blank line is one by any reading.
FRAMES = st.builds(
    lambda lines, brk: "".join(line + brk for line in lines) + brk, st.lists(LINES, min_size=1, max_size=3), BREAKS
)
STREAMS = st.lists(FRAMES, max_size=5).map(lambda frames: "".join(frames).encode())
ENDS = st.builds(
    lambda end, brk: (end.replace("\n", brk) + brk + brk).encode(),
    st.sampled_from(["data: [DONE]", "data:[DONE]", 'event: message_stop\ndata: {"type": "message_stop"}']),
    BREAKS,
)
NOISE = st.lists(st.sampled_from(["\r", "\n", "\r\n", "data: x", ": c", "é", "🚀", "data: [DONE"]), max_size=14)


@st.composite
def parts(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """The stream in pieces, cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def fed(watcher: StreamWatcher, pieces: list[bytes]) -> list[bytes]:
    return [watcher.feed(piece) for piece in pieces]


def at_frame_boundary(put_out: bytes) -> bool:
    """By an SSE reader's own rules: every kind of line end is one, and a frame ends with an empty line."""
    text = put_out.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text == b"" or text.endswith(b"\n\n")


@BRIEFLY
@given(st.data(), STREAMS, ENDS)
def test_passes_a_whole_stream_on_however_it_is_chunked(data: st.DataObject, body: bytes, end: bytes) -> None:
    watcher = StreamWatcher()
    out = b"".join(fed(watcher, data.draw(parts(body + end))))
    assert watcher.done
    assert watcher.end() == b""
    if b"[DONE]" in end:
        assert out == body + END_MARK
    else:
        # The CR of a CR LF ends the blank line, so that the LF after it may be left out.
        assert out in (body + end, (body + end).removesuffix(b"\n"))


@BRIEFLY
@given(st.data(), NOISE)
def test_output_always_ends_at_a_frame_boundary(data: st.DataObject, noise: list[str]) -> None:
    stream = "".join(noise).encode()
    watcher, put_out = StreamWatcher(), b""
    for piece in data.draw(parts(stream)):
        put_out += watcher.feed(piece)
        assert at_frame_boundary(put_out)
        assert stream.startswith(put_out)
        assert not watcher.mid_frame


@BRIEFLY
@given(st.data(), STREAMS, ENDS)
def test_a_stream_cut_before_its_end_mark_is_never_whole(data: st.DataObject, body: bytes, end: bytes) -> None:
    cut = data.draw(st.integers(0, len((body + end).rstrip(b"\r\n")) - 1))
    watcher = StreamWatcher()
    put_out = b"".join(fed(watcher, data.draw(parts((body + end)[:cut]))))
    assert not watcher.done
    assert watcher.end() == b""
    assert not watcher.whole_at_end()
    assert at_frame_boundary(put_out)


@BRIEFLY
@given(st.data(), STREAMS, ENDS)
def test_completes_an_end_mark_without_its_blank_line(data: st.DataObject, body: bytes, end: bytes) -> None:
    mark = end.rstrip(b"\r\n")
    stream = body + mark + end[len(mark) :][: data.draw(st.integers(0, 1))]
    watcher = StreamWatcher()
    out = b"".join([*fed(watcher, data.draw(parts(stream))), watcher.end()])
    assert watcher.whole_at_end()
    assert re.sub(rb"[\r\n]+$", b"\n\n", out) == body + (END_MARK if b"[DONE]" in mark else mark + b"\n\n")
    assert at_frame_boundary(out)


def delta(index: int = 0, **more: object) -> dict[str, object]:
    return {"model": "echo", "choices": [{"index": index, "delta": {"content": "Grüße"}, **more}]}


def frame(event: object) -> bytes:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


USAGE = {"prompt_tokens": 3, "completion_tokens": 5}
CHAT = frame(delta()) + frame(delta(finish_reason="stop")) + frame({"choices": [], "usage": USAGE})
CLAUDE = b"".join(
    b"event: x\n" + frame(event)
    for event in (
        {"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_delta", "delta": {"text": "Grüße"}},
        {"type": "message_delta", "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    )
)


@pytest.mark.parametrize(("stream", "model"), [(CHAT + b"data: [DONE]\n\n", "echo"), (CLAUDE, "claude")])
@BRIEFLY
@given(data=st.data(), brk=BREAKS)
def test_reads_model_and_usage_however_the_stream_is_chunked(
    data: st.DataObject, brk: str, stream: bytes, model: str
) -> None:
    watcher = StreamWatcher()
    fed(watcher, data.draw(parts(stream.replace(b"\n", brk.encode()))))
    assert (watcher.done, watcher.model, watcher.usage) == (True, model, Usage(3, 5))


@BRIEFLY
@given(st.data())
def test_finish_reason_and_clean_end_make_a_stream_whole(data: st.DataObject) -> None:
    finished = len(frame(delta()) + frame(delta(finish_reason="stop")))
    cut = data.draw(st.integers(0, len(CHAT)))
    watcher = StreamWatcher()
    out = b"".join([*fed(watcher, data.draw(parts(CHAT[:cut]))), watcher.end()])
    assert not watcher.done
    # Two LF end a frame. They are added where they are missing.
    rest = CHAT[finished:cut].rstrip(b"\n")
    usage = CHAT[finished:].rstrip(b"\n")
    has_data = rest.startswith(b"data:") and rest.removeprefix(b"data:").strip()
    assert watcher.whole_at_end() == (cut >= finished - 2 and (rest == usage or not has_data))
    if watcher.whole_at_end():
        assert out == CHAT[:finished] + (usage + b"\n\n" if rest == usage else b"")


def test_requires_a_finish_reason_for_every_requested_choice() -> None:
    watcher = StreamWatcher(choices=2)
    watcher.feed(frame(delta(0, finish_reason="stop")))
    watcher.feed(frame(delta(0, finish_reason="stop")))
    assert not watcher.whole_at_end()
    watcher.feed(frame(delta(1, finish_reason="length")))
    assert watcher.whole_at_end()


def test_ignores_a_null_finish_reason() -> None:
    watcher = StreamWatcher()
    watcher.feed(frame(delta(finish_reason=None)))
    assert not watcher.whole_at_end()


@pytest.mark.parametrize(
    "stream",
    [
        b": data: [DONE]\n\n",
        b"event: [DONE]\n\n",
        b'data: {"choices": [{"delta": {"content": "data: [DONE]"}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "message_stop \\"finish_reason\\": \\"stop\\""}}]}\n\n',
        b'data: "[DONE]"\n\n',
        b'data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}\n\n',
        b" data: [DONE]\n\n",
        b"xdata: [DONE]\n\n",
    ],
)
def test_ignores_text_that_looks_like_an_end_mark(stream: bytes) -> None:
    watcher = StreamWatcher()
    assert watcher.feed(frame(delta()) + stream) == frame(delta()) + stream
    assert not watcher.whole_at_end()


@pytest.mark.parametrize(
    "odd",
    [
        b"data: [[[\n\n",
        b"data: 7\n\n",
        b"data: \xff\xfe\n\n",
        b'data: {"choices": 7, "usage": [], "model": 7}\n\n',
        b'data: {"choices": [7, {"finish_reason": 0}], "usage": {"prompt_tokens": "3"}}\n\n',
        b'data: {"choices": [{"index": {}, "finish_reason": ""}]}\n\n',
        b'data: {"choices": [{"index": [], "finish_reason": "stop"}]}\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"\n\n\n\n",
        b"data\n\n",
    ],
)
def test_passes_on_frames_that_it_cannot_parse(odd: bytes) -> None:
    watcher = StreamWatcher(choices=2)
    assert watcher.feed(odd) == odd
    assert (watcher.model, watcher.usage, watcher.whole_at_end()) == (None, Usage(), False)
    watcher.feed(frame(delta()) + b"data: [DONE]\n\n")
    assert (watcher.model, watcher.done) == ("echo", True)


def test_joins_data_lines_into_one_event() -> None:
    watcher = StreamWatcher()
    watcher.feed(b'event: x\ndata: {"type":\ndata:"message_stop"}\nid: 7\n\n')
    assert watcher.done


def test_passes_on_an_oversized_frame_in_pieces() -> None:
    watcher, long = StreamWatcher(), b"data: " + b"x" * MAX_BUFFERED_FRAME_BYTES
    assert watcher.feed(b"data: a\n\n" + long) == b"data: a\n\n" + long
    inside = [watcher.mid_frame]
    assert watcher.feed(b"more") == b"more"
    assert watcher.feed(b"end\n\ndata: b") == b"end\n\n"
    inside.append(watcher.mid_frame)
    assert inside == [True, False]
    assert watcher.feed(b"\n\n") == b"data: b\n\n"


def test_buffers_a_frame_of_the_maximum_size() -> None:
    watcher = StreamWatcher()
    assert watcher.feed(b"x" * MAX_BUFFERED_FRAME_BYTES) == b""
    assert not watcher.mid_frame


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_finds_the_end_after_an_oversized_frame(data: st.DataObject) -> None:
    watcher, rest = StreamWatcher(), b"\n\ndata: [DONE]\n\n"
    watcher.feed(b"data: " + b"x" * MAX_BUFFERED_FRAME_BYTES)
    assert b"".join(fed(watcher, data.draw(parts(rest)))) == rest
    assert watcher.done


def test_ignores_end_marks_inside_an_oversized_frame() -> None:
    watcher = StreamWatcher()
    watcher.feed(b'data: {"content": "' + b"x" * MAX_BUFFERED_FRAME_BYTES)
    watcher.feed(b"data: [DONE]\n\n")
    assert not watcher.done


def test_reads_a_long_frame_in_small_pieces_only_once() -> None:
    watcher, piece = StreamWatcher(), b"x" * 1024
    began = time.process_time()
    for _ in range(1024):
        watcher.feed(piece)
    assert time.process_time() - began < 1.0


def test_our_own_frames_do_not_end_a_stream() -> None:
    watcher = StreamWatcher()
    ours = KEEP_ALIVE * 2 + error_frame(StreamTruncated())
    assert watcher.feed(ours) == ours
    assert not watcher.whole_at_end()


def test_reads_the_model_from_a_later_frame() -> None:
    watcher = StreamWatcher()

    watcher.feed(b'data: {"choices": []}\n\n' * 3 + b'data: {"choices": [], "model": "late"}\n\n')

    assert watcher.model == "late"


def test_reads_an_error_by_its_event_name_after_the_first_frame() -> None:
    watcher = StreamWatcher()

    watcher.feed(b'data: {"choices": []}\n\n' + b'event: error\ndata: {"message": "overloaded"}\n\n')

    assert watcher.error == "overloaded"
