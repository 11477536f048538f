"""A stream that is cut anywhere gives the same chunks, and one that ends early never looks complete."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ProviderError
from gateway.proxy.sse import END_MARK, StreamWatcher
from gateway.proxy.translate.anthropic import AnthropicTranslator, FirstEvent
from tests.unit.gateway.builders import BRIEFLY
from tests.unit.gateway.proxy.translate.strategies import cut, streams


def stream_error(_: object) -> ProviderError:
    return ProviderError(502, "broken", code="provider_stream_error", retryable=True)


def translate(pieces: list[bytes], *, include_usage: bool) -> list[bytes]:
    translator = AnthropicTranslator(created=7, include_usage=include_usage, stream_error=stream_error)
    return [frames for piece in pieces for frames in translator.feed(piece)]


@BRIEFLY
@given(st.data(), streams(), st.booleans())
def test_gives_the_same_chunks_however_the_stream_is_cut(
    data: st.DataObject, stream: bytes, include_usage: bool
) -> None:
    pieces = data.draw(cut(stream))

    whole = translate([stream], include_usage=include_usage)

    assert whole[-1].endswith(END_MARK)
    assert translate(pieces, include_usage=include_usage) == whole
    watcher = StreamWatcher()
    assert translate([watcher.feed(piece) for piece in pieces], include_usage=include_usage) == whole


@BRIEFLY
@given(st.data(), streams())
def test_decides_at_the_first_event_however_the_stream_is_cut(data: st.DataObject, stream: bytes) -> None:
    first = FirstEvent()

    decisions = [first.feed(piece) for piece in data.draw(cut(stream))]

    assert next(decision for decision in decisions if decision is not None)


@BRIEFLY
@given(st.data(), streams())
def test_a_stream_without_its_last_event_has_no_end_mark(data: st.DataObject, stream: bytes) -> None:
    complete = len(stream.rstrip(b"\r\n")) + 1
    end = data.draw(st.integers(0, complete - 1))

    assert END_MARK not in b"".join(translate([stream[:end]], include_usage=False))
