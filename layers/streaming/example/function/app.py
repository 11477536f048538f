import time
from collections.abc import Iterator
from typing import Any

from lambda_streaming import Response, StreamingResponse, streaming


def events(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield b"data: %d\n\n" % number
        time.sleep(1)


# Every response of this function goes to a STREAM integration.
@streaming
def handler(event: dict[str, Any], _context: object) -> Response | StreamingResponse:
    count = (event["queryStringParameters"] or {}).get("count", "10")
    if count not in map(str, range(1, 51)):
        return Response(400, {"content-type": "text/plain"}, b"count must be a number from 1 to 50")
    headers = {"content-type": "text/event-stream"}
    return StreamingResponse(200, headers, events(int(count)), on_close=lambda: print("closed"))
