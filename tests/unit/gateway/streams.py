"""Streams as TokenHub sends them, and a check of the error frame of a broken one."""

import json

from gateway.proxy.sse import KEEP_ALIVE
from tests.scripted_server import DONE


def token(text: str, **more: object) -> bytes:
    event = {"model": "echo", "choices": [{"index": 0, "delta": {"content": text}, **more}]}
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


BODY = [token("Grü"), token("ße"), token("", finish_reason="stop"), DONE]
UNFINISHED = [token("Grü"), token("ße")]


def only_error(got: bytes) -> dict[str, object]:
    """Asserts that the last frame is the only error frame, and returns its error."""
    assert got.count(b"event: error") == 1
    assert b"[DONE]" not in got
    frames = got.decode().replace(KEEP_ALIVE.decode(), "").removesuffix("\n\n").split("\n\n")
    data, event = frames[-1].split("\n")
    assert event == "event: error"
    assert data.startswith('data: {"error": {')
    error: dict[str, object] = json.loads(data.removeprefix("data: "))["error"]
    return error
