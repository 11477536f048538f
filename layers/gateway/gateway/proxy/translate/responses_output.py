"""The output of a Response, built from the deltas of a chat message."""

from dataclasses import dataclass
from typing import Any

from gateway.proxy.translate.responses_items import (
    CustomToolCall,
    EventWriter,
    FunctionCall,
    Message,
    OutputItem,
    Reasoning,
    Refusal,
    ToolSearchCall,
)
from gateway.proxy.translate.responses_tools import Tools

CALLS = {"function": FunctionCall, "custom": CustomToolCall, "tool_search": ToolSearchCall}

type Json = dict[str, Any]


@dataclass(slots=True)
class PendingCall:
    """A tool call. `item` is None until its name arrives; its first arguments wait for that."""

    id: str
    arguments: str = ""
    item: OutputItem | None = None


class Output:
    """Opens and closes the items. `suffix` makes their ids unique.

    A text ends where another item begins. Tool calls stay open until the end, because their deltas may alternate.
    """

    def __init__(self, writer: EventWriter, tools: Tools, suffix: str) -> None:
        self._writer = writer
        self._tools = tools
        self._suffix = suffix
        self._items: list[OutputItem] = []
        self._text: Message | Reasoning | None = None
        self._calls: dict[int, PendingCall] = {}
        # The index of the last call, for providers that send no index.
        self._last_index = -1

    def done_items(self) -> list[Json]:
        return [item.value for item in self._items if item.is_done]

    def delta(self, delta: Json) -> bytes:
        """Returns the events of a message or of a piece of it."""
        if len(delta) == 1 and "content" in delta:
            return self._append_text(Message, delta["content"])
        # `reasoning` is the name of vLLM and OpenRouter. Some providers send both names.
        events = self._append_text(Reasoning, delta.get("reasoning_content") or delta.get("reasoning"))
        events += self._append_text(Message, delta.get("content")) + self._append_text(Refusal, delta.get("refusal"))
        for call in delta.get("tool_calls") or ():
            if isinstance(call, dict):
                events += self._append_call(call)
        return events

    def close(self, *, complete: bool) -> bytes:
        """Closes the open items in their order. The last one is incomplete if the answer is."""
        events = b"".join(self._open_call(call) for call in self._calls.values() if call.item is None)
        for item in self._items:
            if not item.is_done:
                is_cut = not complete and item is self._items[-1]
                events += item.close("incomplete" if is_cut else "completed")
        self._text = None
        return events

    def _append_text(self, kind: type[Message | Reasoning], text: object) -> bytes:
        if not text or not isinstance(text, str):
            return b""
        if type(self._text) is kind:
            return self._text.append(text)
        closing = self._close_text()
        self._text = kind(self._writer, len(self._items), self._suffix)
        self._items.append(self._text)
        return closing + self._text.open() + self._text.append(text)

    def _close_text(self) -> bytes:
        text, self._text = self._text, None
        return b"" if text is None else text.close("completed")

    def _append_call(self, delta: Json) -> bytes:
        call, function = self._call(delta), delta.get("function")
        name, arguments = (function.get("name"), function.get("arguments")) if isinstance(function, dict) else ("", "")
        call.arguments += arguments if isinstance(arguments, str) else ""
        events = self._open_call(call, name) if call.item is None and name and isinstance(name, str) else b""
        return events + _pending_arguments(call)

    def _call(self, delta: Json) -> PendingCall:
        """Returns the call of a delta. Some providers send no index, or the same one for all calls."""
        index, call_id = delta.get("index"), delta.get("id")
        call_id = call_id if isinstance(call_id, str) else ""
        if not isinstance(index, int):
            index = self._last_index + 1 if call_id or self._last_index < 0 else self._last_index
        known = self._calls.get(index)
        if known is not None and call_id not in ("", known.id):
            index, known = max(self._calls) + 1, None
        if known is None:
            known = self._calls[index] = PendingCall(call_id or f"call_{self._suffix}_{index}")
        self._last_index = index
        return known

    def _open_call(self, call: PendingCall, name: str = "") -> bytes:
        tool = self._tools.called(name)
        closing = self._close_text()
        call.item = CALLS[tool.kind](self._writer, len(self._items), self._suffix, call.id, tool)
        self._items.append(call.item)
        return closing + call.item.open() + _pending_arguments(call)


def _pending_arguments(call: PendingCall) -> bytes:
    if call.item is None or not call.arguments:
        return b""
    arguments, call.arguments = call.arguments, ""
    return call.item.append(arguments)
