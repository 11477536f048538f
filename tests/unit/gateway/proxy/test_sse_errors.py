import pytest

from gateway.proxy.sse import StreamWatcher

OVERLOADED = b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n'


@pytest.mark.parametrize(
    ("frame", "spoke", "error"),
    [
        (b'data: {"choices": [{"delta": {"content": "\\"error\\""}}]}\n\n', True, None),
        (b'data: {"choices": [], "error": null}\n\n', True, None),
        (b'data: {"error": {"message": "no"}}\n\n', False, {"message": "no"}),
        (OVERLOADED, False, {"type": "overloaded_error"}),
        (b": a comment\n\n", False, None),
        (b"data: [DONE]\n\n", False, None),
    ],
)
def test_detects_an_error_member_in_a_frame(frame: bytes, spoke: bool, error: object) -> None:
    watcher = StreamWatcher()
    watcher.feed(frame)
    assert (watcher.spoke, watcher.error) == (spoke, error)
