"""Anthropic's `tool_use` blocks as OpenAI's tool calls."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class ToolCall:
    """A tool call whose block is open. `input` is the block's first value, which argument deltas replace."""

    index: int
    input: object
    has_arguments: bool = False


class ToolCalls:
    """Translates tool blocks to `tool_calls` deltas. OpenAI's index counts only tool calls, Anthropic's all blocks."""

    def __init__(self) -> None:
        self._open: dict[int, ToolCall] = {}
        self._count = 0

    def start(self, block_index: int, block: dict[str, Any]) -> dict[str, Any]:
        """Returns the delta with the id and the name of the tool call."""
        call = self._open[block_index] = ToolCall(self._count, block.get("input"))
        self._count += 1
        function = {"name": block.get("name"), "arguments": ""}
        return _delta({"index": call.index, "id": block.get("id"), "type": "function", "function": function})

    def append(self, block_index: int, partial_json: object) -> dict[str, Any] | None:
        """Returns the delta with a piece of the arguments, or None for an empty piece or a block that is no tool's."""
        call = self._open.get(block_index)
        if call is None or not isinstance(partial_json, str) or not partial_json:
            return None
        call.has_arguments = True
        return _arguments_delta(call, partial_json)

    def stop(self, block_index: int) -> dict[str, Any] | None:
        """Closes a block. Returns the delta with the arguments if no piece of them arrived, else None.

        They are the input that the block started with. For a tool without parameters they are `{}`, because clients
        parse the arguments as JSON.
        """
        call = self._open.pop(block_index, None)
        return None if call is None or call.has_arguments else _arguments_delta(call, json.dumps(call.input or {}))

    def stop_all(self) -> list[dict[str, Any]]:
        """Closes the blocks that are still open at the end of the message."""
        return [delta for index in list(self._open) if (delta := self.stop(index))]


def _arguments_delta(call: ToolCall, arguments: str) -> dict[str, Any]:
    return _delta({"index": call.index, "function": {"arguments": arguments}})


def _delta(call: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": [call]}
