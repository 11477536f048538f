"""Reads the delta of a chat chunk, or the message of a completion, in the forms that providers send."""

import json
from dataclasses import dataclass, replace
from typing import Any

type Json = dict[str, Any]


class InvalidMember(Exception):
    """A member with another type than in chat completions. The argument is its name."""


@dataclass(slots=True)
class CallDelta:
    """A piece of a tool call. `index` is None and the texts are empty where the provider sends none."""

    index: int | None
    id: str
    name: str
    arguments: str


@dataclass(slots=True)
class Delta:
    """The content of a delta. `texts` has (name, text) pairs of content, reasoning or refusal, without empty texts."""

    texts: list[tuple[str, str]]
    calls: list[CallDelta]


def read_delta(delta: Json) -> Delta:
    """Reads the delta of a chunk. Raises InvalidMember."""
    content = delta.get("content")
    if len(delta) == 1 and content and isinstance(content, str):
        # The most frequent delta.
        return Delta([("content", content)], [])
    # `reasoning` is the name of vLLM and OpenRouter. Some providers send both names.
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    texts = _texts(reasoning=reasoning, content=content, refusal=delta.get("refusal"))
    return Delta(texts, _calls(delta))


def read_message(message: Json) -> Delta:
    """Reads the message of a whole completion, in which each tool call has one entry. Raises InvalidMember."""
    delta = read_delta(message)
    return Delta(delta.texts, [replace(call, index=index) for index, call in enumerate(delta.calls)])


def _texts(**members: object) -> list[tuple[str, str]]:
    return [(name, text) for name, value in members.items() if (text := _text(value, name))]


def _text(value: object, name: str) -> str:
    if isinstance(value, str):
        return value
    if not value:
        return ""
    if not isinstance(value, list):
        raise InvalidMember(name)
    return "".join(_part_text(part, name) for part in value)


def _part_text(part: object, name: str) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    if not isinstance(text, str):
        raise InvalidMember(name)
    return text


def _calls(delta: Json) -> list[CallDelta]:
    calls, legacy_function = delta.get("tool_calls"), delta.get("function_call")
    if not calls:
        return [_call({"index": 0, "function": legacy_function})] if legacy_function else []
    if not isinstance(calls, list):
        raise InvalidMember("tool_calls")
    return [_call(call) for call in calls]


def _call(call: object) -> CallDelta:
    if not isinstance(call, dict):
        raise InvalidMember("tool_calls")
    function, index, call_id = call.get("function") or {}, call.get("index"), call.get("id")
    if not isinstance(function, dict):
        raise InvalidMember("function")
    name, arguments = function.get("name") or "", function.get("arguments")
    if not isinstance(name, str):
        raise InvalidMember("name")
    index = index if isinstance(index, int) else None
    return CallDelta(index, call_id if isinstance(call_id, str) else "", name, _arguments(arguments))


def _arguments(arguments: object) -> str:
    """Returns the arguments as JSON. Some providers send the object itself."""
    if isinstance(arguments, dict):
        return json.dumps(arguments)
    if not isinstance(arguments, str | None):
        raise InvalidMember("arguments")
    return arguments or ""
