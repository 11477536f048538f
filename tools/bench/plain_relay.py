"""The relay that the benchmark compares the gateway with: FastAPI and httpx under uvicorn."""

import os
from collections.abc import AsyncIterator

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()
client = httpx.AsyncClient(timeout=60)


@app.post("/v1/chat/completions")
async def complete(request: Request) -> StreamingResponse:
    """Forwards the request, and the response chunk by chunk."""
    request_to_upstream = client.build_request(
        "POST", f"{os.environ['UPSTREAM']}/v1/chat/completions", content=await request.body()
    )
    response = await client.send(request_to_upstream, stream=True)

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in response.aiter_raw():
            yield chunk
        await response.aclose()

    return StreamingResponse(chunks(), response.status_code, media_type=response.headers["content-type"])
