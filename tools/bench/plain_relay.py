"""What the gateway is measured against: the relay that one writes in an afternoon, FastAPI + httpx under uvicorn."""

import os
from collections.abc import AsyncIterator

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()
client = httpx.AsyncClient(timeout=60)


@app.post("/v1/chat/completions")
async def complete(request: Request) -> StreamingResponse:
    """Sends the request on and the answer back as it comes."""
    sent = client.build_request("POST", f"{os.environ['UPSTREAM']}/v1/chat/completions", content=await request.body())
    answer = await client.send(sent, stream=True)

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in answer.aiter_raw():
            yield chunk
        await answer.aclose()

    return StreamingResponse(chunks(), answer.status_code, media_type=answer.headers["content-type"])
