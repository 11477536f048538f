"""A provider for measurements. The text of each event is its sending time in nanoseconds of the monotonic clock.

Like TokenHub, it has no `/v1/responses`. It answers each route except `/v1/chat/completions` with 404.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\r\n404 page not found"
SENT = b"sent="
LAST_EVENT = (
    b'data: {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1764000000, "model": "bench", '
    b'"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
)
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Script:
    """The stream of a model: `events` events, `pause_s` apart. A cut one ends cleanly without its last two frames."""

    events: int
    pause_s: float
    is_cut: bool = False


def event() -> bytes:
    """Returns a frame of about 200 bytes, the usual size for one token."""
    return (
        b'data: {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1764000000, "model": "bench", '
        b'"choices": [{"index": 0, "delta": {"content": "sent=%d "}, "finish_reason": null}]}\n\n' % time.monotonic_ns()
    )


def completion() -> bytes:
    """Returns a response without streaming: its head and a body whose text is the sending time."""
    body = (
        b'{"id": "chatcmpl-bench", "object": "chat.completion", "created": 1764000000, "model": "bench", '
        b'"choices": [{"index": 0, "message": {"role": "assistant", "content": "sent=%d "}, "finish_reason": "stop"}], '
        b'"usage": {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9}}' % time.monotonic_ns()
    )
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def sent_ns(frame: bytes) -> int:
    """Returns the sending time of the first event in these bytes."""
    return int(frame.partition(SENT)[2].partition(b" ")[0])


async def serve(events: int, pause_s: float) -> asyncio.Server:
    """Starts a server that sends `events` events, `pause_s` apart, for every request."""
    return await serve_models({"bench": Script(events, pause_s)})


async def serve_models(scripts: Mapping[str, Script]) -> asyncio.Server:
    """Starts a server that streams the script of the request's model, or sends a completion without `stream`."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _read_head(reader):
            content = await reader.readexactly(_content_length(head))
            if not head.startswith(b"POST /v1/chat/completions "):
                writer.write(NOT_FOUND)
            elif (body := json.loads(content)).get("stream"):
                await _stream(writer, scripts[body["model"]])
            else:
                writer.write(completion())
        writer.close()

    return await asyncio.start_server(respond, "127.0.0.1", 0)


async def _stream(writer: asyncio.StreamWriter, script: Script) -> None:
    writer.write(HEAD)
    for _ in range(script.events):
        _write_chunk(writer, event())
        await writer.drain()
        await asyncio.sleep(script.pause_s)
    for frame in () if script.is_cut else (LAST_EVENT, DONE):
        _write_chunk(writer, frame)
    writer.write(b"0\r\n\r\n")


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def _content_length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)


def _write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))
