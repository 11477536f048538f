"""The body of a provider's response: decompressed chunks, and httpx's errors as the gateway's."""

import re
import socket
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Self, cast

import httpx

from gateway.core.answer_errors import EncodingUnsupported
from gateway.core.errors import ForwardingError
from gateway.proxy.connect import has_unread_bytes
from gateway.proxy.decoding import SUPPORTED, BrokenEncodingError, decoded, parse_codings
from gateway.proxy.transport_errors import translated_errors

CODING_NAME = re.compile(r"[a-z0-9_-]{1,20}")


class ResponseBody:
    """The chunks of an httpx response, decompressed, with httpx's errors translated."""

    def __init__(
        self, response: httpx.Response, endpoint: str, timed_out: ForwardingError, broken: ForwardingError
    ) -> None:
        self._response = response
        self._chunks = self._read(endpoint, timed_out, broken)

    def _read(self, endpoint: str, timed_out: ForwardingError, broken: ForwardingError) -> Generator[bytes]:
        with translated_errors(endpoint, timed_out, broken):
            try:
                yield from _decoded(self._response, self._raw())
            except BrokenEncodingError:
                raise broken from None

    def _raw(self) -> Generator[bytes]:
        # Not iter_raw(), which returns the connection to the pool before it can be checked.
        yield from cast("httpx.SyncByteStream", self._response.stream)
        if has_unread_bytes(self._response):
            # The next request on this connection would get them as the start of its response.
            self.abort()
        self._response.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        try:
            self._chunks.close()
        finally:
            self._response.close()

    def abort(self) -> None:
        # Closing a socket does not wake the thread that reads from it. Shutting it down does.
        stream = self._response.extensions.get("network_stream")
        connection = None if stream is None else stream.get_extra_info("socket")
        if connection is not None and not self._response.is_closed:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def check_encoding(response: httpx.Response, endpoint: str) -> None:
    """Raises EncodingUnsupported for a success in an unknown coding. The status of an error counts without its body."""
    unsupported = [coding for coding in _codings(response) if coding not in SUPPORTED]
    if unsupported and response.is_success:
        response.close()
        name = unsupported[0] if CODING_NAME.fullmatch(unsupported[0]) else "an unknown coding"
        raise EncodingUnsupported(
            f"{endpoint} compressed its answer with {name}, although the gateway requested an uncompressed one. "
            "Turn off that compression in the server in front of TokenHub."
        )


def _codings(response: httpx.Response) -> list[str]:
    return parse_codings(next(iter(response.headers.get_list("content-encoding")), ""))


def _decoded(response: httpx.Response, chunks: Iterator[bytes]) -> Iterator[bytes]:
    codings = _codings(response)
    if SUPPORTED.issuperset(codings):
        yield from decoded(chunks, codings)
