"""Reads server-sent events from bytes that may be cut anywhere (WHATWG HTML, section 9.2.6)."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.proxy.frames import LINE_END, MAX_READ_FRAME_BYTES, FrameSplitter


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its `event:` field, empty if it has none, and its data lines joined by newlines."""

    name: str
    data: bytes


class EventTooLong(Exception):
    """An event has more than `MAX_READ_FRAME_BYTES` bytes."""


class EventReader:
    """Returns each event as soon as its blank line has arrived. An event without data is skipped."""

    def __init__(self) -> None:
        self._splitter = FrameSplitter()
        self._event_bytes = 0

    def feed(self, data: bytes) -> Iterator[Event | None]:
        """Yields the events that these bytes complete, and before each one None for each of its comment lines.

        Raises EventTooLong.
        """
        for piece in self._splitter.feed(data):
            self._event_bytes += len(piece.data)
            if self._event_bytes > MAX_READ_FRAME_BYTES:
                raise EventTooLong
            if piece.frame is not None:
                self._event_bytes = 0
                yield from _read_frame(piece.frame)


def _read_frame(frame: bytes) -> Iterator[Event | None]:
    name, data = "", []
    for line in LINE_END.split(frame):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if line.startswith(b":"):
            yield None
        elif field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode(errors="replace")
    if event_data := b"\n".join(data):
        yield Event(name, event_data)
