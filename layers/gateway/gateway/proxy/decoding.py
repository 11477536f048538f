"""Decompresses a body piece by piece as it arrives. The gateway requests `identity`; some servers compress anyway."""

import zlib
from collections.abc import Iterable, Iterator

# A small compressed chunk may become a very large text.
MAX_PIECE_BYTES = 64 * 1024
GZIP = zlib.MAX_WBITS + 16
GZIP_START = b"\x1f"
GZIP_CODINGS = frozenset({"gzip", "x-gzip"})
SUPPORTED = GZIP_CODINGS | {"deflate"}
DEFLATE_METHOD = 8
ZLIB_HEADER_BYTES = 2
# RFC 1950: the header, read as a number, is a multiple of this.
ZLIB_HEADER_FACTOR = 31


class BrokenEncodingError(Exception):
    """The compressed data is invalid, or it ends too early."""


def parse_codings(header: str) -> list[str]:
    """Returns the codings of a Content-Encoding header in the order in which they were applied."""
    names = (name.strip().lower() for name in header.split(","))
    return [name for name in names if name not in ("", "identity")]


def decoded(chunks: Iterable[bytes], codings: list[str]) -> Iterable[bytes]:
    """Yields the decoded body. `codings` are SUPPORTED. Raises BrokenEncodingError."""
    for coding in reversed(codings):
        chunks = _decompressed(chunks, gzip=coding in GZIP_CODINGS)
    return chunks


def _decompressed(chunks: Iterable[bytes], *, gzip: bool) -> Iterator[bytes]:
    decoder = _Gzip() if gzip else _Deflate()
    for chunk in chunks:
        yield from decoder.feed(chunk)
    if not decoder.is_complete:
        raise BrokenEncodingError


class _Gzip:
    """Decompresses all members. httpx and the OpenAI SDK drop every member but the first."""

    def __init__(self) -> None:
        self._member: zlib._Decompress | None = None
        self._ended = False

    @property
    def is_complete(self) -> bool:
        """Whether the data may end here. An empty body is complete."""
        return self._member is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data and not self._ended:
            if self._member is None:
                data = self._start_member(data)
                continue
            yield from _pieces(self._member, data)
            data = b""
            if self._member.eof:
                data, self._member = self._member.unused_data, None

    def _start_member(self, data: bytes) -> bytes:
        # A file may be padded with zeros. gzip ignores anything else that is not a member.
        data = data.lstrip(b"\0")
        if data.startswith(GZIP_START):
            self._member = zlib.decompressobj(GZIP)
        elif data:
            self._ended = True
        return data


class _Deflate:
    """Decompresses a zlib stream, or a raw one, which some servers send under the same name."""

    def __init__(self) -> None:
        self._stream: zlib._Decompress | None = None
        self._start = b""

    @property
    def is_complete(self) -> bool:
        return self._stream.eof if self._stream is not None else not self._start

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            data = self._start = self._start + data
            if len(data) < ZLIB_HEADER_BYTES:
                return
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if _is_zlib(data) else -zlib.MAX_WBITS)
        if not self._stream.eof:
            yield from _pieces(self._stream, data)


def _is_zlib(data: bytes) -> bool:
    header = int.from_bytes(data[:ZLIB_HEADER_BYTES])
    return data[0] & 0x0F == DEFLATE_METHOD and header % ZLIB_HEADER_FACTOR == 0


def _pieces(stream: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    while True:
        try:
            piece = stream.decompress(data, MAX_PIECE_BYTES)
        except zlib.error:
            raise BrokenEncodingError from None
        if piece:
            yield piece
        data = stream.unconsumed_tail
        # A full piece may leave output inside zlib although all input is consumed.
        if stream.eof or (not data and len(piece) < MAX_PIECE_BYTES):
            return
