"""Runs LiteLLM as a library. `auth` is the prefix of the model: `openai` or `anthropic`."""

import json
from typing import Any

import litellm
from jobs import OPENAI_TOOLS, Json, serve


def run(job: Json, result: Json) -> None:
    messages = [{"role": "user", "content": job["prompt"]}]
    settings: Json = {"api_base": job["base_url"], "api_key": job["token"], "extra_headers": job["headers"]}
    if job["tools"]:
        settings["tools"] = OPENAI_TOOLS
    response = litellm.completion(f"{job['auth']}/{job['model']}", messages, stream=job["stream"], **settings)
    message = (streamed(response, messages, result) if job["stream"] else response).choices[0].message
    result["text"] = message.content or ""
    result["calls"] = [[call.function.name, json.loads(call.function.arguments)] for call in message.tool_calls or ()]


def streamed(response: Any, messages: list[dict[str, str]], result: Json) -> Any:
    chunks = []
    for chunk in response:
        chunks.append(chunk)
        result["text"] += chunk.choices[0].delta.content or ""
    return litellm.stream_chunk_builder(chunks, messages=messages)


serve(run)
