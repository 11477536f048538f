import gzip
import zlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.decoding import MAX_PIECE_BYTES, BrokenEncodingError, decoded, parse_codings
from tests.unit.gateway.builders import BRIEFLY

TEXT = b"data: Gr\xc3\xbc\xc3\x9fe\n\n" * 50


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


FORMS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "members": ("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(b"") + gzip.compress(data[9:])),
    "padded": ("gzip", lambda data: gzip.compress(data) + bytes(20)),
    "followed by garbage": ("gzip", lambda data: gzip.compress(data) + b"garbage"),
    "zlib": ("deflate", zlib.compress),
    "raw": ("deflate", raw_deflate),
    "zlib and garbage": ("deflate", lambda data: zlib.compress(data) + b"garbage"),
    "twice": ("gzip, deflate", lambda data: zlib.compress(gzip.compress(data))),
    "identity": ("identity", lambda data: data),
}
form = pytest.mark.parametrize(("header", "compress"), FORMS.values(), ids=FORMS.keys())


def split(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@form
@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_decodes_chunks_of_any_size(header: str, compress: Callable[[bytes], bytes], size: int) -> None:
    assert b"".join(decoded(split(compress(TEXT), size), parse_codings(header))) == TEXT


@form
def test_an_empty_body_is_complete(header: str, compress: Callable[[bytes], bytes]) -> None:
    assert b"".join(decoded([], parse_codings(header))) == b""
    assert b"".join(decoded([compress(b"")], parse_codings(header))) == b""


@BRIEFLY
@given(st.sampled_from(["gzip", "deflate"]), st.data())
def test_rejects_data_that_ends_too_early(coding: str, data: st.DataObject) -> None:
    body = gzip.compress(TEXT) if coding == "gzip" else zlib.compress(TEXT)
    cut = body[: data.draw(st.integers(1, len(body) - 1))]
    with pytest.raises(BrokenEncodingError):
        b"".join(decoded(split(cut, data.draw(st.integers(1, 9))), [coding]))


def test_rejects_a_cut_second_member() -> None:
    with pytest.raises(BrokenEncodingError):
        list(decoded([gzip.compress(TEXT) + gzip.compress(TEXT)[:15]], ["gzip"]))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_rejects_invalid_data(coding: str) -> None:
    with pytest.raises(BrokenEncodingError):
        list(decoded([b"\x1f\x8b\xff\xff not compressed"], [coding]))


def test_yields_each_flushed_event_at_once() -> None:
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS + 16)
    chunks = (
        compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH) for event in (b"data: 1\n\n", b"data: 2\n\n")
    )
    pieces = iter(decoded(chunks, ["gzip"]))

    assert next(pieces) == b"data: 1\n\n"
    assert next(pieces) == b"data: 2\n\n"


@pytest.mark.parametrize(
    "size", [MAX_PIECE_BYTES - 1, MAX_PIECE_BYTES, MAX_PIECE_BYTES + 1, 10 * MAX_PIECE_BYTES + 258]
)
@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_a_small_chunk_becomes_many_bounded_pieces(compress: Callable[[bytes], bytes], size: int) -> None:
    coding = "gzip" if compress is gzip.compress else "deflate"
    pieces = list(decoded([compress(bytes(size))], [coding]))

    assert max(map(len, pieces)) <= MAX_PIECE_BYTES
    assert b"".join(pieces) == bytes(size)
