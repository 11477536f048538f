"""A provider for measurements, in a process of its own: `python -m tools.bench.slow_provider SECONDS` prints its port.

Each completion comes so many seconds after its request, as a stream where one is asked for. A request to a path with
`/hang/` in it is never answered.
"""

import asyncio
import sys

COMPLETION = (
    b'{"model": "bench", "choices": [{"index": 0, "message": {"role": "assistant", "content": "pong"}, '
    b'"finish_reason": "stop"}], "usage": {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9}}'
)
CHUNK = b'data: {"model": "bench", "choices": [{"index": 0, "delta": {"content": "pong"}, "finish_reason": null}]}\n\n'
STREAM = CHUNK + b"data: [DONE]\n\n"


def whole(body: bytes, kind: bytes) -> bytes:
    """A whole answer."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)


async def serve(seconds: float) -> None:
    """Until killed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(length)
            await asyncio.sleep(3600 if b"/hang/" in head else seconds)
            streams = b'"stream": true' in body
            writer.write(whole(STREAM, b"text/event-stream") if streams else whole(COMPLETION, b"application/json"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
