"""Runs the OpenAI SDK for Python."""

import json
from typing import Any

import openai
from jobs import OPENAI_TOOLS, Json, serve


def run(job: Json, result: Json) -> None:
    body: Json = {"model": job["model"], "messages": [{"role": "user", "content": job["prompt"]}]}
    if job["tools"]:
        body["tools"] = OPENAI_TOOLS
    with openai.OpenAI(base_url=job["base_url"], api_key=job["token"], default_headers=job["headers"]) as client:
        completion = streamed(client, body, result) if job["stream"] else client.chat.completions.create(**body)
    message = completion.choices[0].message
    result["text"] = message.content or ""
    result["calls"] = [[call.function.name, json.loads(call.function.arguments)] for call in message.tool_calls or ()]


def streamed(client: openai.OpenAI, body: Json, result: Json) -> Any:
    with client.chat.completions.stream(**body) as stream:
        for event in stream:
            if event.type == "content.delta":
                result["text"] += event.delta
        return stream.get_final_completion()


serve(run)
