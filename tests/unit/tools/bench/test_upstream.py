import asyncio
import json

import aiohttp
import pytest

from tools.bench import upstream

SCRIPTS = {"whole": upstream.Script(2, 0), "cut": upstream.Script(2, 0, is_cut=True)}


async def post(model: str, *, stream: bool) -> str:
    server = await upstream.serve_models(SCRIPTS)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json={"model": model, "stream": stream}) as response,
    ):
        text = await response.text()
    server.close()
    return text


@pytest.mark.parametrize(("model", "is_whole"), [("whole", True), ("cut", False)])
def test_a_cut_stream_ends_without_a_last_event_and_an_error(model: str, is_whole: bool) -> None:
    text = asyncio.run(post(model, stream=True))

    assert text.count("sent=") == 2
    assert ('"stop"' in text, "[DONE]" in text) == (is_whole, is_whole)


async def statuses() -> list[int]:
    server = await upstream.serve_models(SCRIPTS)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with aiohttp.ClientSession(url) as session:
        models, responses = await session.get("/v1/models"), await session.post("/v1/responses", json={})
    server.close()
    return [models.status, responses.status]


def test_other_routes_get_404() -> None:
    assert asyncio.run(statuses()) == [404, 404]


def test_a_request_without_stream_gets_a_completion() -> None:
    completion = json.loads(asyncio.run(post("whole", stream=False)))

    assert completion["object"] == "chat.completion"
    assert upstream.sent_ns(completion["choices"][0]["message"]["content"].encode()) > 0
