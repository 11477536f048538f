import pytest

from gateway.proxy.frames import MAX_READ_FRAME_BYTES
from gateway.proxy.translate.anthropic import MAX_UNDECIDED_BYTES, FirstEvent
from tests.unit.gateway.anthropic_events import MESSAGE_STOP, PING, frame, message_start


def decision(data: bytes) -> bool | None:
    return FirstEvent().feed(data)


@pytest.mark.parametrize("before", [b"", b": c\n", b": c\n\n", frame(PING), b"id: 1\n\n", b"\xef\xbb\xbf", b"\r\n"])
def test_message_start_decides_after_comments_and_pings(before: bytes) -> None:
    first = FirstEvent()

    assert first.feed(before) is None
    assert first.feed(frame(message_start())) is True
    assert decision(before + b'data: {"choices": []}\n\n' + frame(message_start())) is False


@pytest.mark.parametrize(
    "first",
    [
        b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n',
        b"data: [DONE]\n\n",
        b'data: {"id": "message_start"}\n\n',
        b"data: no JSON\n\n",
        frame(MESSAGE_STOP),
        b"data: " + b"x" * MAX_READ_FRAME_BYTES,
    ],
)
def test_other_first_events_are_not_translated(first: bytes) -> None:
    assert decision(first) is False


def test_undecided_bytes_are_limited() -> None:
    assert decision(b": c\n" * (MAX_UNDECIDED_BYTES // 4)) is None
    assert decision(b": c\n" * (MAX_UNDECIDED_BYTES // 4) + b"\n") is False
