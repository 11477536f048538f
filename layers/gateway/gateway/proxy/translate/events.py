"""Reads server-sent events from bytes that may be cut anywhere (WHATWG HTML, section 9.2.6)."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.proxy.frames import BYTE_ORDER_MARK, LINE_END, MAX_READ_FRAME_BYTES


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
        # A list, so that a long line that arrives in small pieces is joined once.
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._name = ""
        self._event_bytes = 0
        self._ends_with_cr = False
        self._at_start = True

    def feed(self, data: bytes) -> Iterator[Event | None]:
        """Yields the events that these bytes complete, and None for each comment line.

        Raises EventTooLong.
        """
        for line in self._complete_lines(data):
            if line.startswith(b":"):
                yield None
            elif line:
                self._read_field(line)
            else:
                event = Event(self._name, b"\n".join(self._data))
                self._name, self._data, self._event_bytes = "", [], 0
                if event.data:
                    yield event

    def _complete_lines(self, data: bytes) -> Iterator[bytes]:
        if not data:
            return
        if self._ends_with_cr:
            data = data.removeprefix(b"\n")
        self._ends_with_cr = data.endswith(b"\r")
        *line_ends, rest = LINE_END.split(data)
        for part in line_ends:
            self._append(part)
            yield self._take_line()
        self._append(rest)

    def _append(self, part: bytes) -> None:
        self._line.append(part)
        self._event_bytes += len(part)
        if self._event_bytes > MAX_READ_FRAME_BYTES:
            raise EventTooLong

    def _take_line(self) -> bytes:
        line = b"".join(self._line)
        self._line.clear()
        if self._at_start:
            line = line.removeprefix(BYTE_ORDER_MARK)
        self._at_start = False
        return line

    def _read_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value.decode(errors="replace")
