import pytest

from gateway.proxy.frames import MAX_READ_FRAME_BYTES
from gateway.proxy.translate.events import Event, EventReader, EventTooLong


def read(*pieces: bytes) -> list[Event | None]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "event"),
    [
        (b"data: a\n\n", Event("", b"a")),
        (b"data:a\n\n", Event("", b"a")),
        (b"data:  a\n\n", Event("", b" a")),
        (b"event: x\ndata: a\nid: 1\nretry: 5\n\n", Event("x", b"a")),
        (b"data: a\nevent: x\n\n", Event("x", b"a")),
        (b"data: a\ndata\ndata: b\n\n", Event("", b"a\n\nb")),
        (b"\xef\xbb\xbfdata: a\n\n", Event("", b"a")),
        (b"\n\ndata: a\n\n", Event("", b"a")),
        (b"event: lost\n\ndata: a\n\n", Event("", b"a")),
        (b": comment\ndata: a\n\n", Event("", b"a")),
    ],
)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_reads_an_event_cut_at_every_byte(stream: bytes, event: Event, line_end: bytes) -> None:
    stream = stream.replace(b"\n", line_end)

    assert [e for e in read(stream) if e] == [event]
    assert [e for e in read(*(bytes([byte]) for byte in stream)) if e] == [event]


def test_returns_an_event_as_soon_as_its_blank_line_arrives() -> None:
    reader = EventReader()

    assert list(reader.feed(b"data: a\r\n")) == []
    assert list(reader.feed(b"\r")) == [Event("", b"a")]
    assert list(reader.feed(b"\n")) == []
    assert list(reader.feed(b"data: b\r\n\r\n")) == [Event("", b"b")]


def test_returns_none_for_each_comment_line() -> None:
    assert read(b": a\n", b": b\n\ndata: c\n\n:\n\n") == [None, None, Event("", b"c"), None]


def test_skips_events_without_data() -> None:
    assert read(b"event: ping\n\nid: 1\n\ndata:\n\n") == []


def test_rejects_a_long_event_in_one_line_or_many() -> None:
    line = b"data: " + b"x" * (MAX_READ_FRAME_BYTES // 4)

    assert len(read(b"\n\n".join([line] * 5) + b"\n\n")) == 5
    with pytest.raises(EventTooLong):
        read(*[line] * 4)
    with pytest.raises(EventTooLong):
        read(*[line + b"\n"] * 4)
