"""Runs pydantic-ai's OpenAIResponsesModel. The agent runs the tools itself."""

import asyncio
from typing import Any

from jobs import Json, serve
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


def run(job: Json, result: Json) -> None:
    asyncio.run(run_agent(job, result))


async def run_agent(job: Json, result: Json) -> None:
    async with AsyncOpenAI(
        base_url=job["base_url"], api_key=job["token"], default_headers=job["headers"], max_retries=0
    ) as client:
        agent: Any = Agent(OpenAIResponsesModel(job["model"], provider=OpenAIProvider(openai_client=client)))
        if job["tools"]:

            @agent.tool_plain
            def get_weather(city: str) -> str:
                """Returns the weather of a city."""
                result["calls"].append(["get_weather", {"city": city}])
                return f"sunny in {city}"

        if not job["stream"]:
            result["text"] = (await agent.run(job["prompt"])).output
            return
        async with agent.run_stream(job["prompt"]) as answer:
            async for delta in answer.stream_text(delta=True, debounce_by=None):
                result["text"] += delta


serve(run)
