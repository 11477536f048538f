"""Splits a body of server-sent events into frames, however it is cut into chunks."""

import re
from typing import NamedTuple

MAX_BUFFERED_FRAME_BYTES = 2 * 1024 * 1024
MAX_READ_FRAME_BYTES = 8 * 1024 * 1024
MAX_BLANK_LINE_BYTES = 4
BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
# Finds the same as BLANK_LINE where there is no CR, in a fraction of the time.
BLANK_LINE_OF_LF = re.compile(rb"\n\n")
LINE_END = re.compile(rb"\r\n|\n|\r")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Piece(NamedTuple):
    """Bytes of the body in order. `frame` is the frame that they complete, without its blank line.

    `frame` is None inside a frame that is passed on in pieces, and at the end of one of more than 8 MB.
    """

    data: bytes
    frame: bytes | None

    @property
    def is_whole(self) -> bool:
        """Whether `data` is the whole frame with its blank line."""
        return self.frame is not None and len(self.data) > len(self.frame)


class FrameSplitter:
    """Returns the frames of a body, each with its blank line. Passes a frame of more than 2 MB on in pieces."""

    def __init__(self) -> None:
        # A list, so that a long frame that arrives in small pieces is joined and searched once.
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        # The last bytes of the previous chunk, where a blank line may have started.
        self._edge = b""
        # The first bytes of the body while they may be a byte order mark. None afterwards.
        self._start: bytes | None = b""
        # What was passed on of the current frame, for reading it. None if it is longer than 8 MB.
        self._sent: bytearray | None = bytearray()
        self._ends_with_cr = False
        self.mid_frame = False

    @property
    def between_frames(self) -> bool:
        """Whether a comment line may be sent now: not inside a frame, and not between CR and LF of a blank line."""
        return not self.mid_frame and not self._ends_with_cr

    def feed(self, chunk: bytes) -> list[Piece]:
        """Returns the pieces that this chunk completes, without a byte order mark. Buffers the rest."""
        if self._start is not None:
            chunk = self._without_byte_order_mark(chunk)
        if self._ends_with_cr and chunk:
            self._ends_with_cr = False
            if chunk.startswith(b"\n"):
                return [Piece(b"\n", None), *self.feed(chunk[1:])]
        window = self._edge + chunk
        pattern = BLANK_LINE if b"\r" in window else BLANK_LINE_OF_LF
        blank_lines = [match.span() for match in pattern.finditer(window)]
        self._buffer.append(chunk)
        self._buffered_bytes += len(chunk)
        self._edge = window[1 - MAX_BLANK_LINE_BYTES :]
        pieces = self._take_frames(blank_lines, len(window)) if blank_lines else []
        if self._buffered_bytes and (self.mid_frame or self._buffered_bytes > MAX_BUFFERED_FRAME_BYTES):
            self.mid_frame = True
            pieces.append(Piece(self._pass_on(self._take_buffer()), None))
        return pieces

    def end(self) -> bytes | None:
        """Returns the last frame if the body ends without its blank line, else b"". None if it is over 8 MB long."""
        rest = self._take_buffer()
        self._pass_on(rest)
        return None if self._sent is None else bytes(self._sent)

    def _without_byte_order_mark(self, chunk: bytes) -> bytes:
        start = (self._start or b"") + chunk
        if len(start) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(start):
            self._start = start
            return b""
        self._start = None
        return start.removeprefix(BYTE_ORDER_MARK)

    def _take_frames(self, blank_lines: list[tuple[int, int]], window_size: int) -> list[Piece]:
        data = self._take_buffer()
        # Negative where the start of the window has been sent already.
        offset = len(data) - window_size
        start, pieces = 0, []
        for begin, end in blank_lines:
            pieces.append(self._end_frame(data[start : offset + end], offset + begin - start))
            start = offset + end
        rest = data[start:]
        # The LF of this CR may be in the next chunk.
        self._ends_with_cr = not rest and data.endswith(b"\n\r")
        self._buffer, self._buffered_bytes, self._edge = [rest], len(rest), rest[1 - MAX_BLANK_LINE_BYTES :]
        return pieces

    def _end_frame(self, data: bytes, size: int) -> Piece:
        """`size` is the number of the bytes before the blank line. Negative if the blank line was sent in part."""
        if not self.mid_frame:
            return Piece(data, data[:size])
        self._pass_on(data)
        frame = None if self._sent is None else bytes(self._sent[: len(self._sent) - (len(data) - size)])
        self.mid_frame, self._sent = False, bytearray()
        return Piece(data, frame)

    def _pass_on(self, data: bytes) -> bytes:
        if self._sent is not None:
            self._sent += data
            if len(self._sent) > MAX_READ_FRAME_BYTES:
                self._sent = None
        return data

    def _take_buffer(self) -> bytes:
        data = b"".join(self._buffer)
        self._buffer, self._buffered_bytes = [], 0
        return data


def data_of(frame: bytes) -> bytes:
    """Returns the data of a frame, its lines joined by LF. Empty for a comment."""
    lines = LINE_END.split(frame)
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
