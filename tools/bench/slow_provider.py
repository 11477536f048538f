"""A provider for measurements: `python -m tools.bench.slow_provider SECONDS` runs it and prints its port.

It responds to each completion request after SECONDS, with a stream if the request sets `stream`. It never responds to
a path that contains `/hang/`.
"""

import asyncio
import sys

COMPLETION = (
    b'{"model": "bench", "choices": [{"index": 0, "message": {"role": "assistant", "content": "pong"}, '
    b'"finish_reason": "stop"}], "usage": {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9}}'
)
CHUNK = b'data: {"model": "bench", "choices": [{"index": 0, "delta": {"content": "pong"}, "finish_reason": null}]}\n\n'
STREAM = CHUNK + b"data: [DONE]\n\n"


def http_response(body: bytes, content_type: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (content_type, len(body), body)


async def serve(seconds: float) -> None:
    """Serves until the process is killed. `seconds` is the delay of each response."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _read_head(reader):
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(length)
            await asyncio.sleep(3600 if b"/hang/" in head else seconds)
            if b'"stream": true' in body:
                writer.write(http_response(STREAM, b"text/event-stream"))
            else:
                writer.write(http_response(COMPLETION, b"application/json"))
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
