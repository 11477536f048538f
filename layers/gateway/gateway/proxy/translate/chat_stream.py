"""Decides from the first event of a chat stream whether the stream is translated."""

import time
from collections.abc import Iterator
from itertools import chain

from gateway.core.errors import GatewayError
from gateway.proxy.sse import KEEP_ALIVE
from gateway.proxy.translate.anthropic import AnthropicTranslator, FirstEvent

PATH = "/chat/completions"


class ChatStream:
    """Translates the frames of an Anthropic stream, and passes the frames of every other stream on unchanged.

    Holds comments and pings until the first event has decided.
    """

    # None, because the stream keeps the provider's id.
    response_id = None

    def __init__(self, translator: AnthropicTranslator, *, path: str) -> None:
        """`path` is that of the request. Only chat completions are translated."""
        self._translator = translator
        self._first_event = FirstEvent()
        self._is_anthropic = None if path == PATH else False
        self._buffer = b""

    @property
    def translated(self) -> bool:
        return self._is_anthropic is True

    @property
    def is_unchanged(self) -> bool:
        """Whether the first event has shown that the stream needs no translation."""
        return self._is_anthropic is False

    @property
    def done(self) -> bool:
        """Whether the end mark of a translated stream was returned."""
        return self._translator.done

    def feed(self, frames: bytes) -> Iterator[bytes]:
        """Yields what to send for these frames. Raises the translator's GatewayError."""
        if self._is_anthropic is None:
            self._is_anthropic = self._first_event.feed(frames)
            frames = self._buffer + frames
            self._buffer = frames if self._is_anthropic is None else b""
        if self._is_anthropic:
            yield from self._translator.feed(frames)
        elif self._is_anthropic is False and frames:
            yield frames

    def release(self) -> bytes:
        """Returns the held comments and pings at the end of a stream without any other event."""
        frames, self._buffer = self._buffer, b""
        return frames

    def end(self) -> bytes:
        """Returns what a complete stream still needs."""
        return self._translator.end() if self.translated else self.release()

    def last_frame(self, _error: GatewayError) -> None:
        """Returns None: the path decides which frame ends a broken stream."""


def read_first_event(chunks: Iterator[bytes], seconds: float | None) -> tuple[bool, Iterator[bytes]]:
    """Reads up to the first event, for about `seconds`, or without a limit if None.

    Returns whether the stream is Anthropic's, and an iterator over all chunks, which raises what reading raised.
    """
    first_event, pieces = FirstEvent(), list[bytes]()
    end = None if seconds is None else time.monotonic() + seconds
    decision, error = None, None
    try:
        for chunk in chunks:
            pieces.append(chunk)
            if chunk is KEEP_ALIVE or (decision := first_event.feed(chunk)) is not None:
                break
            if end is not None and time.monotonic() >= end:
                break
    except GatewayError as raised:
        error = raised
    # `yield from` would close the chunks with the generator around it, and with them the connection to the provider.
    return decision is True, chain(pieces, _raising(error), chunks)


def _raising(error: GatewayError | None) -> Iterator[bytes]:
    if error is not None:
        raise error
    yield from ()
