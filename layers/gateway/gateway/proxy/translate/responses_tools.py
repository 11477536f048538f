"""Translates the tools of a Responses request to chat tools, and the calls of the answer back to these tools."""

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from gateway.core.errors import InvalidRequest
from gateway.core.request_errors import UnsupportedParameter

# OpenAI's limit for the name of a function.
MAX_NAME_CHARACTERS = 64
HASH_CHARACTERS = 8
# The value of a field is repeated in an error only if it looks like the name of a type.
TYPE_NAME = re.compile(r"[a-z][a-z0-9_.]{0,63}")
# A custom tool takes one text. As a function it has one parameter.
CUSTOM_INPUT = "input"
# The beginning of the arguments of such a function, up to the last whole character of the text.
CUT_INPUT = re.compile(r'\s*\{\s*"input"\s*:\s*"((?:[^"\\]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+)')
WEB_SEARCH = 'Codex sends it by default: set web_search = "disabled" in config.toml.'

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the client knows it."""

    name: str
    namespace: str | None = None
    kind: Literal["function", "custom", "tool_search"] = "function"

    @property
    def full_name(self) -> str:
        """The name with the namespace in front. Chat completions have no namespaces."""
        return self.name if self.namespace is None else f"{self.namespace}__{self.name}"


# The tool by which the client searches for further tools.
TOOL_SEARCH = Tool("tool_search", kind="tool_search")


class Tools:
    """The tools of a request. `functions` are the chat tools."""

    def __init__(self) -> None:
        self.functions: list[Json] = []
        self._chat_names: dict[Tool, str] = {}
        self._by_chat_name: dict[str, Tool] = {}

    def add(self, definitions: object, param: str, namespace: str | None = None) -> list[str]:
        """Adds the tools of a list and returns their chat names. `param` names the list in errors.

        Raises InvalidRequest and UnsupportedParameter.
        """
        if definitions is None:
            return []
        if not isinstance(definitions, list):
            raise InvalidRequest(f"{param} must be a list of tools.", param=param)
        added = (self._add(definition, f"{param}[{index}]", namespace) for index, definition in enumerate(definitions))
        return [name for names in added for name in names]

    def chat_name(self, tool: Tool) -> str:
        """Returns the function's name for a tool that a call or a tool choice names, even if the tool is undefined."""
        if tool in self._chat_names:
            return self._chat_names[tool]
        same_name = (name for known, name in self._chat_names.items() if known.full_name == tool.full_name)
        return next(same_name, None) or next(_chat_names(tool))

    def called(self, chat_name: str) -> Tool:
        """Returns the tool that a call of the answer names. A model may name one that does not exist."""
        return self._by_chat_name.get(chat_name) or Tool(chat_name)

    def keep(self, allowed: set[str]) -> None:
        """Removes all functions whose chat name is not allowed."""
        self.functions = [function for function in self.functions if function["function"]["name"] in allowed]

    def _add(self, definition: object, param: str, namespace: str | None) -> list[str]:
        kind = definition.get("type") if isinstance(definition, dict) else None
        if not isinstance(definition, dict) or (kind in ("function", "custom", "namespace") and not _name(definition)):
            raise InvalidRequest(f"{param} must be a tool with a type and a name.", param=param)
        if kind == "namespace" and namespace is None:
            return self.add(definition.get("tools"), f"{param}.tools", _name(definition))
        tool = _tool(definition, namespace)
        if tool is None:
            raise unsupported_tool(kind, f"{param}.type")
        if not isinstance(definition.get("description"), str | None):
            raise InvalidRequest(f"{param}.description must be a string.", param=f"{param}.description")
        # A tool search may load a tool twice. Chat completions reject two tools of one name.
        if tool not in self._chat_names:
            name = next(name for name in _chat_names(tool) if name not in self._by_chat_name)
            self._chat_names[tool], self._by_chat_name[name] = name, tool
            self.functions.append((_custom if tool.kind == "custom" else _function)(name, definition))
        return [self._chat_names[tool]]


def _chat_names(tool: Tool) -> Iterator[str]:
    """Yields names for the function of a tool: the full name, then names that end in a hash."""
    name = tool.full_name
    if len(name) <= MAX_NAME_CHARACTERS:
        yield name
    for number in count():
        hashed = zlib.crc32(f"{name}{number or ''}".encode(errors="replace"))
        yield f"{name[: MAX_NAME_CHARACTERS - HASH_CHARACTERS]}{hashed:08x}"


def _tool(definition: Json, namespace: str | None) -> Tool | None:
    """Returns None for a tool that has no counterpart in chat completions."""
    match definition.get("type"):
        case "function" | "custom" as kind:
            return Tool(_name(definition), namespace, kind)
        case "tool_search" if definition.get("execution") == "client":
            return TOOL_SEARCH
    return None


def referenced_tool(reference: Json, kind: object) -> Tool:
    """Returns the tool of this kind that a call of the input or a tool choice names."""
    if kind == "tool_search":
        return TOOL_SEARCH
    name, namespace = str(reference.get("name")), reference.get("namespace")
    return Tool(name, namespace if isinstance(namespace, str) else None, "custom" if kind == "custom" else "function")


def unsupported_tool(kind: object, param: str) -> UnsupportedParameter:
    """Returns the error for a tool that OpenAI's API runs itself, or that only its models know."""
    name = type_name(kind)
    hint = f" {WEB_SEARCH}" if name.startswith("web_search") else ""
    return UnsupportedParameter(
        f"Chat completions have no tool {name}. Leave it out, or send a function tool that your program runs.{hint}",
        param=param,
    )


def type_name(kind: object) -> str:
    """Returns a value of a field `type` for an error message, or "of this type" if it does not look like a name."""
    return kind if isinstance(kind, str) and TYPE_NAME.fullmatch(kind) else "of this type"


def custom_input(arguments: str) -> str:
    """Returns the input of a custom tool from its function's arguments, or the arguments if they contain no input."""
    try:
        content = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    value = content.get(CUSTOM_INPUT) if isinstance(content, dict) else None
    return value if isinstance(value, str) else arguments


def cut_input(arguments: str) -> str:
    """Returns the beginning of a custom tool's input from the beginning of its function's arguments."""
    beginning = CUT_INPUT.match(arguments)
    if beginning is None:
        return ""
    # The second half of a surrogate pair may be missing.
    return re.sub("[\ud800-\udbff]$", "", str(json.loads(f'"{beginning[1]}"', strict=False)))


def _function(name: str, definition: Json) -> Json:
    function = {"name": name} | {
        field: definition[field] for field in ("description", "parameters") if definition.get(field) is not None
    }
    # False is the default of chat completions.
    strict = {"strict": True} if definition.get("strict") is True else {}
    return {"type": "function", "function": function | strict}


def _custom(name: str, definition: Json) -> Json:
    description = "\n\n".join(filter(None, (definition.get("description"), _grammar(definition.get("format")))))
    parameters = {
        "type": "object",
        "properties": {CUSTOM_INPUT: {"type": "string", "description": "The input of the tool, as plain text."}},
        "required": [CUSTOM_INPUT],
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def _grammar(format_: object) -> str:
    if not isinstance(format_, dict) or format_.get("type") != "grammar":
        return ""
    return f"The input must match this {format_.get('syntax')} grammar:\n{format_.get('definition')}"


def _name(definition: Json) -> str:
    name = definition.get("name")
    return name if isinstance(name, str) else ""
