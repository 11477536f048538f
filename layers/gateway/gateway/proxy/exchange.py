"""One request to a provider and its answer, both in the thread that reads: the head is waited for only so long."""

from collections.abc import Callable, Generator
from concurrent.futures import Future

from gateway.proxy.sse import KEEP_ALIVE
from gateway.proxy.upstream import Target, UpstreamResponse


class Exchange:
    """`source()` sends the request, then gives the body; `head` has the provider and its answer once it is known."""

    def __init__(self, send: Callable[[], tuple[Target, UpstreamResponse]]) -> None:
        self._send = send
        self._left = False
        self.head: Future[tuple[Target, UpstreamResponse]] = Future()

    def source(self) -> Generator[bytes]:
        """The body. Raises the errors of sending too, which `head` has already."""
        try:
            target, answer = self._send()
        except BaseException as error:
            self.head.set_exception(error)
            raise
        self.head.set_result((target, answer))
        try:
            if not self._left:  # asked after the head is told: abort() looks the other way round
                yield from answer.chunks
        finally:
            answer.chunks.close()

    def begun(self, seconds: float | None) -> bool:
        """Whether the head came, or its error, within so many seconds."""
        try:
            self.head.exception(timeout=seconds)
        except TimeoutError:
            return False
        return True

    def answer(self) -> UpstreamResponse | None:
        """The answer, once its head is there."""
        return self.head.result()[1] if self.head.done() and self.head.exception() is None else None

    def abort(self) -> None:
        """Wakes the thread that reads the body, or will once the head is there."""
        self._left = True
        answer = self.answer()
        if answer is not None:
            answer.abort()

    def keep_alive(self) -> bytes | None:
        """What to say in silence: nothing into an answer that is no stream."""
        answer = self.answer()
        return KEEP_ALIVE if answer is None or answer.is_stream else None
