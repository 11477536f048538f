"""Runs OpenAI's Responses with the OpenAI SDK for Python. `auth` "parse" requests structured output."""

import json
from typing import Any

import openai
from jobs import FUNCTION, Json, serve
from pydantic import BaseModel


class City(BaseModel):
    city: str


def run(job: Json, result: Json) -> None:
    with openai.OpenAI(base_url=job["base_url"], api_key=job["token"], default_headers=job["headers"]) as client:
        if job["auth"] == "parse":
            parsed = client.responses.parse(model=job["model"], input=job["prompt"], text_format=City)
            result["text"] = parsed.output_parsed.city if parsed.output_parsed else ""
            return
        items: list[Any] = [{"role": "user", "content": job["prompt"]}]
        response = ask(client, job, items, result)
        calls = [item for item in response.output if item.type == "function_call"]
        result["calls"] = [[call.name, json.loads(call.arguments)] for call in calls]
        if calls:
            outputs = [output(call.call_id, json.loads(call.arguments)["city"]) for call in calls]
            response = ask(client, job, [*items, *response.output, *outputs], result)
        result["text"] = response.output_text


def ask(client: openai.OpenAI, job: Json, items: list[Any], result: Json) -> Any:
    body: Json = {"model": job["model"], "input": items}
    if job["tools"]:
        body["tools"] = [{"type": "function", "strict": False, **FUNCTION}]
    if not job["stream"]:
        return client.responses.create(**body)
    with client.responses.stream(**body) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                result["text"] += event.delta
            if event.type == "response.failed" and event.response.error is not None:
                raise RuntimeError(event.response.error.message)
        return stream.get_final_response()


def output(call_id: str, city: str) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": f"sunny in {city}"}


serve(run)
