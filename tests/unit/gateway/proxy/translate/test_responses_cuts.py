"""Any chat stream, cut anywhere, gives the same valid events, whose deltas are the final output."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import StreamTruncated
from gateway.proxy.translate.anthropic import AnthropicTranslator
from tests.unit.gateway.builders import BRIEFLY
from tests.unit.gateway.proxy.translate.chat_strategies import chat_streams
from tests.unit.gateway.proxy.translate.strategies import cut, streams
from tests.unit.gateway.responses import Json, builder, kinds, read_events, stream_error, translate

LAST = {"completed", "incomplete", "failed"}


def text_of(item: Json) -> str:
    """Returns the text that the deltas of an item make up."""
    match item["type"]:
        case "message":
            return "".join(part.get("text", part.get("refusal", "")) for part in item["content"])
        case "reasoning":
            return "".join(part["text"] for part in item["summary"])
        case "function_call":
            return str(item["arguments"])
        case "tool_search_call":
            # Its arguments are an object, so it has no deltas.
            return ""
    return str(item["input"])


def is_cut_call(item: Json) -> bool:
    return item["type"].endswith("_call") and item.get("status") == "incomplete"


def assert_is_whole(events: list[Json]) -> None:
    """Asserts that each item is added once, consists of its deltas, and is the same in its done event and the Response.

    A cut call has no done event, because clients would run it.
    """
    deltas, added, done = defaultdict[int, str](str), list[int](), dict[int, Json]()
    for event in events:
        index = event.get("output_index", -1)
        assert index not in done or event["type"] == "response.output_item.done"
        if event["type"] == "response.output_item.added":
            added.append(index)
        elif event["type"] == "response.output_item.done":
            done[index] = event["item"]
        elif "delta" in event:
            assert index in added
            deltas[index] += event["delta"]
    output = events[-1]["response"]["output"]
    assert added == list(range(len(output)))
    cut = {index for index, item in enumerate(output) if is_cut_call(item)}
    assert not cut or events[-1]["type"] == "response.incomplete"
    assert [done[index] for index in added if index not in cut] == [output[index] for index in sorted(done)]
    assert [deltas[index] for index in added] == [text_of(item) for item in output]


@BRIEFLY
@given(st.data(), chat_streams())
def test_gives_the_same_events_however_the_stream_is_cut(data: st.DataObject, stream: bytes) -> None:
    whole = translate(stream)

    assert kinds(whole)[:2] == ["created", "in_progress"]
    assert [kind for kind in kinds(whole) if kind in LAST] == kinds(whole)[-1:]
    assert_is_whole(whole)
    assert translate(*data.draw(cut(stream))) == whole


@BRIEFLY
@given(streams())
def test_gives_valid_events_for_anthropic_streams(stream: bytes) -> None:
    chat = AnthropicTranslator(created=7, include_usage=False, stream_error=stream_error)

    assert_is_whole(translate(*chat.feed(stream)))


@BRIEFLY
@given(st.data(), chat_streams())
def test_a_stream_without_its_end_mark_never_looks_complete(data: st.DataObject, stream: bytes) -> None:
    complete = len(stream.rstrip(b"\r\n")) + 1
    response, end = builder(), data.draw(st.integers(0, complete - 1))

    received = b"".join(response.feed(stream[:end]))

    assert not response.done
    events = read_events(received + response.fail(StreamTruncated()))
    assert [kind for kind in kinds(events) if kind in LAST] == ["failed"]


def test_joins_two_lines_of_data_that_arrive_one_by_one() -> None:
    lines = b'data: {"choices":\n', b'data: [{"delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n'

    assert translate(*lines) == translate(b"".join(lines))
    assert_is_whole(translate(*lines))


def test_skips_an_event_with_empty_data() -> None:
    end = b'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n'

    assert translate(b"data: \n\n" + end) == translate(end)
