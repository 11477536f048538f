"""One request to a provider and its response. One thread sends and reads, another one waits for the head."""

from collections.abc import Callable, Generator
from concurrent.futures import Future

from gateway.proxy.sse import KEEP_ALIVE
from gateway.proxy.upstream import Target, UpstreamResponse


class Exchange:
    """`chunks()` sends the request and then returns the body; `head` receives the provider and the response.

    Everything that `chunks()` does happens in the thread that reads it.
    """

    def __init__(self, send: Callable[[], tuple[Target, UpstreamResponse]]) -> None:
        self._send = send
        self._aborted = False
        self.head: Future[tuple[Target, UpstreamResponse]] = Future()

    def chunks(self) -> Generator[bytes]:
        """Yields the body. Raises what sending raises, after `head` has received the same exception."""
        try:
            target, response = self._send()
        except BaseException as error:
            self.head.set_exception(error)
            raise
        self.head.set_result((target, response))
        try:
            # abort() sets the flag and then looks at the head. This sets the head and then looks at the flag.
            if not self._aborted:
                yield from response.chunks
        finally:
            response.chunks.close()

    def wait_for_head(self, seconds: float | None) -> bool:
        """Whether the head or an exception has arrived within this time."""
        try:
            self.head.exception(timeout=seconds)
        except TimeoutError:
            return False
        return True

    def response(self) -> UpstreamResponse | None:
        """The response, or None while its head is missing or when sending failed."""
        return self.head.result()[1] if self.head.done() and self.head.exception() is None else None

    def abort(self) -> None:
        """Ends the connection: now, or as soon as the head arrives. Wakes the thread that reads `chunks()`."""
        self._aborted = True
        response = self.response()
        if response is not None:
            response.abort()

    def keep_alive(self) -> bytes | None:
        """The bytes to send during silence. None for a response that is known not to be a stream."""
        response = self.response()
        return KEEP_ALIVE if response is None or response.is_stream else None
