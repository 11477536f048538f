"""A provider for measurements. The text of each event is its sending time in nanoseconds of the monotonic clock.

Like TokenHub, it has no `/v1/responses`.
"""

import asyncio
import time

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\r\n404 page not found"
PADDING = b" " * 100
SENT = b"sent="
DONE = b"data: [DONE]\n\n"


def event() -> bytes:
    """Returns a frame of about 200 bytes, the usual size for one token."""
    return b'data: {"choices": [{"index": 0, "delta": {"content": "sent=%d "}, "finish_reason": null}]%b}\n\n' % (
        time.monotonic_ns(),
        PADDING,
    )


def sent_ns(frame: bytes) -> int:
    """Returns the sending time of the first event in these bytes."""
    return int(frame.partition(SENT)[2].partition(b" ")[0])


async def serve(events: int, pause_s: float) -> asyncio.Server:
    """Starts a server that sends `events` events, `pause_s` apart, for every request."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _read_head(reader):
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            if head.startswith(b"POST /v1/responses "):
                writer.write(NOT_FOUND)
                continue
            writer.write(HEAD)
            for _ in range(events):
                _write_chunk(writer, event())
                await writer.drain()
                await asyncio.sleep(pause_s)
            _write_chunk(writer, DONE)
            writer.write(b"0\r\n\r\n")
        writer.close()

    return await asyncio.start_server(respond, "127.0.0.1", 0)


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def _write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))
