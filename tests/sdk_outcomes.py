"""What the SDKs of OpenAI and Anthropic return for a stream: its text, or the code of the error that they report."""

import json
from collections.abc import Callable

import anthropic
import openai
from openai.types.chat import ChatCompletionUserMessageParam

QUESTION: ChatCompletionUserMessageParam = {"role": "user", "content": "a"}
TRUNCATED = "stream_truncated"


def read_text(client: openai.OpenAI, model: str) -> str:
    stream = client.chat.completions.create(model=model, messages=[QUESTION], stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def read_tool_calls(client: openai.OpenAI, model: str) -> str:
    stream = client.chat.completions.create(model=model, messages=[QUESTION], stream=True)
    calls: dict[int, list[str]] = {}
    for chunk in stream:
        for call in chunk.choices[0].delta.tool_calls or ():
            assert call.function is not None
            known = calls.setdefault(call.index, [call.id or "", ""])
            known[1] += call.function.arguments or ""
    return json.dumps(list(calls.values()), ensure_ascii=False, separators=(",", ":"))


def read_response(client: openai.OpenAI, model: str) -> str:
    """Reads the events of OpenAI's Responses. Their errors are events: the SDK raises no exception."""
    text = ""
    for event in client.responses.create(model=model, input="a", stream=True):
        if event.type == "response.failed" and event.response.error is not None:
            return TRUNCATED if "before it was complete" in event.response.error.message else "another error"
        if event.type == "response.completed":
            return text
        text += event.delta if event.type == "response.output_text.delta" else ""
    return f"an end without an event after {text!r}"


def read_final_response(client: openai.OpenAI, model: str) -> str:
    """Reads by the SDK's helper, which raises a RuntimeError for a stream without `response.completed`."""
    try:
        with client.responses.stream(model=model, input="a") as stream:
            return stream.get_final_response().output_text
    except RuntimeError:
        return TRUNCATED


def read_response_calls(client: openai.OpenAI, model: str) -> str:
    """Reads the function calls of a response, each as its id and its arguments."""
    for event in client.responses.create(model=model, input="a", stream=True):
        if event.type == "response.completed":
            calls = [item for item in event.response.output if item.type == "function_call"]
            pairs = [[call.call_id, call.arguments] for call in calls]
            return json.dumps(pairs, ensure_ascii=False, separators=(",", ":"))
        if event.type == "response.failed" and event.response.error is not None:
            return TRUNCATED if "before it was complete" in event.response.error.message else "another error"
    return "an end without an event"


def read_anthropic(client: anthropic.Anthropic, model: str) -> str:
    stream = client.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": "a"}], stream=True)
    deltas = [event.delta for event in stream if event.type == "content_block_delta"]
    return "".join(delta.text for delta in deltas if delta.type == "text_delta")


def outcome(read: Callable[[str], str], model: str) -> str:
    """Returns the text that `read` returns for this model, or the code of the error that it raises."""
    try:
        return read(model)
    except (openai.APIError, anthropic.APIError) as error:
        body = error.body if isinstance(error.body, dict) else {}
        # The Anthropic SDK keeps the whole frame, OpenAI's only its error.
        return str(body.get("error", body).get("code"))
