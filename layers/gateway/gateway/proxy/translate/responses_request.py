"""Translates a request for OpenAI's Responses to one for chat completions. docs/clients.md lists the fields."""

from dataclasses import dataclass
from typing import Any

from gateway.core.errors import InvalidRequest
from gateway.core.request_errors import UnsupportedParameter
from gateway.proxy.translate.responses_input import NO_STATE, Conversation
from gateway.proxy.translate.responses_tools import Tools, referenced_tool, unsupported_tool

WHOLE_CONVERSATION = f"{NO_STATE} Send the whole conversation in input."
# The fields that chat completions cannot express, with the action for the caller.
UNSUPPORTED = {
    "previous_response_id": WHOLE_CONVERSATION,
    "conversation": WHOLE_CONVERSATION,
    "background": f"{NO_STATE} Leave background out, and set stream to true for a long answer.",
    "prompt": "The gateway stores no prompts. Send the text of the prompt in instructions and input.",
    "moderation": "Chat completions have no moderation. Leave it out, and call a moderation API yourself.",
    "top_logprobs": "The gateway translates no log probabilities. Leave top_logprobs out, or use /v1/chat/completions.",
}
# Fields that have the same name in chat completions.
SAME_FIELDS = ("model", "temperature", "top_p", "user", "service_tier")
# The fields of the request that the Response repeats, with their defaults.
REPEATED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
CHOICES = ("auto", "none", "required")

type Json = dict[str, Any]


@dataclass(frozen=True)
class TranslatedRequest:
    """`chat` is the body for chat completions, `repeated` the fields of the request that the Response repeats."""

    chat: Json
    tools: Tools
    repeated: Json


def translate_request(body: Json) -> TranslatedRequest:
    """Translates a body. Raises UnsupportedParameter if chat completions cannot express a field, or InvalidRequest."""
    for name, remedy in UNSUPPORTED.items():
        if body.get(name):
            raise UnsupportedParameter(remedy, param=name)
    tools = Tools()
    tools.add(body.get("tools"), "tools")
    chat = {name: body[name] for name in SAME_FIELDS if body.get(name) is not None}
    chat["messages"] = _messages(body, tools)
    chat |= _tool_fields(body, tools) | _text_fields(body.get("text")) | _limits(body) | _stream_fields(body)
    repeated = {name: default if body.get(name) is None else body[name] for name, default in REPEATED.items()}
    return TranslatedRequest(chat, tools, repeated)


def _messages(body: Json, tools: Tools) -> list[Json]:
    conversation = Conversation(tools)
    instructions, items = body.get("instructions"), body.get("input")
    if instructions:
        if not isinstance(instructions, str):
            raise InvalidRequest("instructions must be a string.", param="instructions")
        conversation.add_text("system", instructions)
    if isinstance(items, str):
        conversation.add_text("user", items)
    elif isinstance(items, list):
        conversation.add_items(items)
    else:
        raise InvalidRequest("input must be a string or a list of items.", param="input")
    return conversation.messages()


def _tool_fields(body: Json, tools: Tools) -> Json:
    """Returns no fields without tools, because chat completions reject them then."""
    choice = _tool_choice(body.get("tool_choice"), tools)
    if not tools.functions:
        return {}
    # True is the default of chat completions, and not all providers know the field.
    parallel = {"parallel_tool_calls": False} if body.get("parallel_tool_calls") is False else {}
    return {"tools": tools.functions} | parallel | ({"tool_choice": choice} if choice is not None else {})


def _tool_choice(choice: object, tools: Tools) -> object:
    if choice is None or choice in CHOICES:
        return choice
    kind = choice.get("type") if isinstance(choice, dict) else None
    if isinstance(choice, dict) and kind in ("function", "custom"):
        return {"type": "function", "function": {"name": _chat_name(choice, tools)}}
    if isinstance(choice, dict) and kind == "allowed_tools" and isinstance(choice.get("tools"), list):
        tools.keep({_chat_name(tool, tools) for tool in choice["tools"] if isinstance(tool, dict)})
        return choice.get("mode", "auto")
    if isinstance(kind, str):
        raise unsupported_tool(kind, "tool_choice")
    raise InvalidRequest(f"tool_choice must be an object or one of {', '.join(CHOICES)}.", param="tool_choice")


def _chat_name(reference: Json, tools: Tools) -> str:
    return tools.chat_name(referenced_tool(reference, reference.get("type")))


def _text_fields(text: object) -> Json:
    if not isinstance(text, dict):
        return {}
    verbosity = {"verbosity": text["verbosity"]} if text.get("verbosity") is not None else {}
    format_ = text.get("format") or {}
    if not isinstance(format_, dict):
        raise InvalidRequest("text.format must be an object.", param="text.format")
    match format_.get("type"):
        case "json_schema":
            schema = {name: value for name, value in format_.items() if name != "type" and value is not None}
            return verbosity | {"response_format": {"type": "json_schema", "json_schema": schema}}
        case "json_object":
            return verbosity | {"response_format": {"type": "json_object"}}
        case None | "text":
            return verbosity
    raise UnsupportedParameter(
        "Chat completions have no text format of this type. Use text, json_object or json_schema.",
        param="text.format.type",
    )


def _limits(body: Json) -> Json:
    # TokenHub forwards `max_tokens` and drops `max_completion_tokens` (docs/tokenhub.md).
    limit = {"max_tokens": body["max_output_tokens"]} if body.get("max_output_tokens") is not None else {}
    reasoning = body.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
    return limit | ({"reasoning_effort": effort} if effort is not None else {})


def _stream_fields(body: Json) -> Json:
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("stream must be true or false.", param="stream")
    return {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
