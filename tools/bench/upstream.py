"""A provider for measurements: each event tells when it was sent, in nanoseconds of the machine's monotonic clock."""

import asyncio
import time

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PADDING = b" " * 100
DONE = b"data: [DONE]\n\n"


def event() -> bytes:
    """A frame of about 200 bytes, the usual size of a token's."""
    return b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": null}], "sent": %d%b}\n\n' % (
        time.monotonic_ns(),
        PADDING,
    )


def sent_ns(frame: bytes) -> int:
    """When the first event in these bytes was sent."""
    return int(frame.partition(b'"sent": ')[2].partition(b" ")[0])


async def serve(events: int, pause_s: float) -> asyncio.Server:
    """Answers every request with so many events."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            writer.write(HEAD)
            for _ in range(events):
                _chunk(writer, event())
                await writer.drain()
                await asyncio.sleep(pause_s)
            _chunk(writer, DONE)
            writer.write(b"0\r\n\r\n")
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))
