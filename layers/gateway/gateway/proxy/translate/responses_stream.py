"""The stream of `/v1/responses`: unchanged, or translated where the provider answered with chat completions."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gateway.core.errors import GatewayError
from gateway.proxy.translate.chat_stream import ChatStream

if TYPE_CHECKING:
    from gateway.proxy.translate.responses_events import ResponseBuilder


class ResponsesStream:
    """Translates the chat chunks that `chat` yields to the events of a Response.

    `make_builder` returns None for a provider that serves Responses. It is called at the first bytes or the error,
    because the provider may not have answered before.
    """

    translated = False

    def __init__(self, chat: ChatStream, make_builder: "Callable[[], ResponseBuilder | None]") -> None:
        self._chat = chat
        self._make_builder = make_builder
        self._is_decided = False
        self._builder: ResponseBuilder | None = None

    @property
    def done(self) -> bool:
        """Whether the last event of a translated stream was returned."""
        return self._builder is not None and self._builder.done

    @property
    def response_id(self) -> str | None:
        """The id of a translated Response, else None."""
        return None if self._builder is None else self._builder.id

    def feed(self, frames: bytes) -> Iterator[bytes]:
        """Yields what to send for these frames. Raises the translator's GatewayError."""
        self._decide()
        if self._builder is None:
            if frames:
                yield frames
            return
        yield from _joined(self._translated(self._builder, frames))

    def release(self) -> bytes:
        """Returns nothing: `feed` holds no bytes back."""
        return b""

    def end(self) -> bytes:
        """Returns what a complete stream still needs."""
        if self._builder is None:
            return b""
        last_chunks = b"".join(self._builder.feed(self._chat.end()))
        return last_chunks + self._builder.end()

    def last_frame(self, error: GatewayError) -> bytes | None:
        """Returns the event that ends a broken stream. None if the stream is not translated."""
        self._decide()
        return None if self._builder is None else self._builder.fail(error)

    def _translated(self, builder: "ResponseBuilder", frames: bytes) -> Iterator[bytes]:
        if self._chat.is_unchanged:
            yield from builder.feed(frames)
            return
        for chunks in self._chat.feed(frames):
            yield from builder.feed(chunks)

    def _decide(self) -> None:
        if not self._is_decided:
            self._is_decided, self._builder = True, self._make_builder()


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yields all pieces as one, because each piece costs a write to the client."""
    joined = bytearray()
    try:
        for piece in pieces:
            joined += piece
    except GatewayError:
        if joined:
            yield bytes(joined)
        raise
    if joined:
        yield bytes(joined)
