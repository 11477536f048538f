"""Translates the input items of a Responses request to chat messages."""

import json
from dataclasses import dataclass, field
from typing import Any

from gateway.core.errors import InvalidRequest
from gateway.core.request_errors import UnsupportedParameter
from gateway.proxy.translate.responses_tools import CUSTOM_INPUT, Tools, referenced_tool, type_name

# Providers that are not OpenAI have no role `developer`. OpenAI treats the two as one.
ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
TEXT_PARTS = {"input_text", "output_text", "text", "summary_text"}
# The kind of the tool, by the type of the call.
CALLED_KINDS = {"function_call": "function", "custom_tool_call": "custom", "tool_search_call": "tool_search"}
NO_STATE = "The gateway stores no responses."
SEND_AGAIN = f"{NO_STATE} Send the item itself. With the AI SDK, set providerOptions.openai.store to false."

type Json = dict[str, Any]


@dataclass(slots=True)
class Turn:
    """A message and those that must follow it directly: the results of its tool calls, then their images."""

    message: Json
    results: list[Json] = field(default_factory=list)
    attachments: list[Json] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether the next item may belong to the same answer of the model."""
        return self.message["role"] == "assistant" and not self.results

    def messages(self) -> list[Json]:
        images = [{"role": "user", "content": self.attachments}] if self.attachments else []
        return [self.message, *self.results, *images]


class Conversation:
    """Builds the messages from the items in order. `additional_tools` items add to `tools`."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._turns: list[Turn] = []
        # By call id: the turn whose message has the call.
        self._callers: dict[str, Turn] = {}

    def add_text(self, role: str, text: str) -> None:
        self._turns.append(Turn({"role": role, "content": text}))

    def add_items(self, items: list[Any]) -> None:
        """Adds the messages of the items. Raises InvalidRequest or UnsupportedParameter, which name the item."""
        for index, item in enumerate(items):
            param = f"input[{index}]"
            if not isinstance(item, dict):
                raise InvalidRequest(f"{param} must be an object.", param=param)
            self._add(item, param)

    def messages(self) -> list[Json]:
        return [message for turn in self._turns for message in turn.messages()]

    def _add(self, item: Json, param: str) -> None:
        match _type(item):
            case "message":
                self._add_message(item, param)
            case "function_call" | "custom_tool_call" | "tool_search_call":
                self._add_call(item, param)
            case "function_call_output" | "custom_tool_call_output":
                self._add_result(item, param)
            case "tool_search_output":
                self._add_search_result(item, param)
            case "additional_tools":
                self._tools.add(item.get("tools"), f"{param}.tools")
            case "reasoning":
                # Chat completions accept no reasoning in a request.
                pass
            case "item_reference":
                raise UnsupportedParameter(SEND_AGAIN, param=param)
            case kind:
                raise UnsupportedParameter(
                    f"Chat completions have no item {type_name(kind)}. Send messages, calls and their outputs.",
                    param=f"{param}.type",
                )

    def _add_message(self, item: Json, param: str) -> None:
        role = ROLES.get(str(item.get("role")))
        if role is None:
            raise InvalidRequest(f"{param}.role must be one of {', '.join(ROLES)}.", param=f"{param}.role")
        content = _content(item.get("content"), f"{param}.content")
        last = self._turns[-1] if self._turns else None
        if role == "assistant" and last is not None and last.is_open and last.message["content"] is None:
            # The text follows its tool calls. Chat completions reject a message between calls and their results.
            last.message["content"] = content
            return
        self._turns.append(Turn({"role": role, "content": content}))

    def _add_call(self, item: Json, param: str) -> None:
        call_id, arguments = _string(item, "call_id", param), _arguments(item, param)
        name = self._tools.chat_name(referenced_tool(item, CALLED_KINDS[item["type"]]))
        if not self._turns or not self._turns[-1].is_open:
            self._turns.append(Turn({"role": "assistant", "content": None}))
        turn = self._callers[call_id] = self._turns[-1]
        function = {"name": name, "arguments": arguments}
        turn.message.setdefault("tool_calls", []).append({"id": call_id, "type": "function", "function": function})

    def _add_result(self, item: Json, param: str) -> None:
        call_id = _string(item, "call_id", param)
        parts = _parts(item.get("output"), f"{param}.output")
        # A tool message has text only.
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        result = {"role": "tool", "tool_call_id": call_id, "content": text}
        turn = self._callers.get(call_id)
        if turn is None:
            raise InvalidRequest(
                f"No function call before {param} has its call_id. Send the call before its output.",
                param=f"{param}.call_id",
            )
        turn.results.append(result)
        turn.attachments += [part for part in parts if part["type"] != "text"]

    def _add_search_result(self, item: Json, param: str) -> None:
        names = self._tools.add(item.get("tools"), f"{param}.tools")
        text = f"These tools can now be called: {', '.join(names)}." if names else "No tool matches."
        self._add_result(item | {"output": text}, param)


def _type(item: Json) -> object:
    """Returns the type of an item. Messages and references may omit it."""
    kind = item.get("type")
    if kind is not None:
        return kind
    is_reference = "id" in item and "role" not in item and "content" not in item
    return "item_reference" if is_reference else "message"


def _arguments(item: Json, param: str) -> str:
    """Returns the arguments of a call in the form of a function's. Raises InvalidRequest if it has no name."""
    if item["type"] == "tool_search_call":
        return json.dumps(item.get("arguments"))
    _string(item, "name", param)
    if item["type"] == "custom_tool_call":
        return json.dumps({CUSTOM_INPUT: _string(item, CUSTOM_INPUT, param)})
    return _string(item, "arguments", param)


def _content(content: object, param: str) -> str | list[Json]:
    parts = _parts(content, param)
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _parts(content: object, param: str) -> list[Json]:
    """Returns chat parts. A list without parts becomes an empty text."""
    if isinstance(content, str):
        return [_text(content)]
    if not isinstance(content, list):
        raise InvalidRequest(f"{param} must be a string or a list of parts.", param=param)
    return [_part(part, f"{param}[{index}]") for index, part in enumerate(content)] or [_text("")]


def _part(part: object, param: str) -> Json:
    if not isinstance(part, dict):
        raise InvalidRequest(f"{param} must be an object.", param=param)
    match part.get("type"):
        case str() as kind if kind in TEXT_PARTS:
            return _text(_string(part, "text", param))
        case "refusal":
            return _text(_string(part, "refusal", param))
        case "input_image":
            image = {"url": _inline(part, "image_url", param)}
            return {"type": "image_url", "image_url": image | _present(part, "detail")}
        case "input_file":
            file = {"file_data": _inline(part, "file_data", param)} | _present(part, "filename")
            return {"type": "file", "file": file}
        case "input_audio":
            return {"type": "input_audio", "input_audio": part.get("input_audio")}
    raise UnsupportedParameter(
        "Chat completions have no part of this type. Send text, images, files or audio.", param=f"{param}.type"
    )


def _inline(part: Json, name: str, param: str) -> str:
    value = part.get(name)
    if isinstance(value, str):
        return value
    raise UnsupportedParameter(f"{NO_STATE} Send the content in {name}.", param=f"{param}.{name}")


def _present(part: Json, name: str) -> Json:
    return {name: part[name]} if part.get(name) is not None else {}


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _string(item: Json, name: str, param: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise InvalidRequest(f"{param}.{name} must be a string.", param=f"{param}.{name}")
    return value
