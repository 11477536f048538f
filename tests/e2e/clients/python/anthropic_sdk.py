"""Runs the Anthropic SDK for Python. `auth` is the name of the argument that takes the token."""

from typing import Any

import anthropic
from jobs import ANTHROPIC_TOOLS, Json, serve


def run(job: Json, result: Json) -> None:
    messages = [{"role": "user", "content": job["prompt"]}]
    body: Json = {"model": job["model"], "max_tokens": 500, "messages": messages}
    if job["tools"]:
        body["tools"] = ANTHROPIC_TOOLS
    token = {job["auth"]: job["token"]}
    with anthropic.Anthropic(base_url=job["base_url"], default_headers=job["headers"], **token) as client:
        message = streamed(client, body, result) if job["stream"] else client.messages.create(**body)
    result["text"] = "".join(block.text for block in message.content if block.type == "text")
    result["calls"] = [[block.name, block.input] for block in message.content if block.type == "tool_use"]


def streamed(client: anthropic.Anthropic, body: Json, result: Json) -> Any:
    with client.messages.stream(**body) as stream:
        for delta in stream.text_stream:
            result["text"] += delta
        return stream.get_final_message()


serve(run)
