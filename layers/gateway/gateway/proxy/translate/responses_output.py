"""The output of a Response, built from the deltas of a chat message."""

from dataclasses import dataclass
from typing import Any

from gateway.proxy.translate.chat_deltas import CallDelta, Delta
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

TEXTS: dict[str, type[Message | Reasoning]] = {"content": Message, "reasoning": Reasoning, "refusal": Refusal}
CALLS: dict[str, type[FunctionCall | CustomToolCall | ToolSearchCall]] = {
    "function": FunctionCall,
    "custom": CustomToolCall,
    "tool_search": ToolSearchCall,
}

type Json = dict[str, Any]


@dataclass(slots=True)
class PendingCall:
    """A tool call. `item` is None until the name arrives. `arguments` holds those that arrive before the name."""

    id: str
    index: int | None
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
        self._calls: list[PendingCall] = []
        self._calls_by_id: dict[str, PendingCall] = {}
        # The call that last had this index. None is the key for deltas without an index.
        self._last_calls: dict[int | None, PendingCall] = {}

    def done_items(self) -> list[Json]:
        return [item.value for item in self._items if item.is_done]

    def append(self, delta: Delta) -> bytes:
        """Returns the events of a message or of a piece of it."""
        events = b"".join([self._append_text(TEXTS[name], text) for name, text in delta.texts])
        for call in delta.calls:
            events += self._append_call(call)
        return events

    def close(self, *, complete: bool) -> bytes:
        """Closes the open items in order. In an incomplete answer, the last item and cut calls are incomplete too."""
        events = b"".join(self._open_call(call) for call in self._calls if call.item is None)
        for item in self._items:
            if not item.is_done:
                is_cut = not complete and (item is self._items[-1] or not item.is_whole)
                events += item.close("incomplete" if is_cut else "completed")
        self._text = None
        return events

    def _append_text(self, kind: type[Message | Reasoning], text: str) -> bytes:
        if type(self._text) is kind:
            return self._text.append(text)
        closing = self._close_text()
        self._text = kind(self._writer, len(self._items), self._suffix)
        self._items.append(self._text)
        return closing + self._text.open() + self._text.append(text)

    def _close_text(self) -> bytes:
        text, self._text = self._text, None
        return b"" if text is None else text.close("completed")

    def _append_call(self, delta: CallDelta) -> bytes:
        call = self._call(delta)
        call.arguments += delta.arguments
        events = self._open_call(call, delta.name) if call.item is None and delta.name else b""
        return events + _pending_arguments(call)

    def _call(self, delta: CallDelta) -> PendingCall:
        """Returns the call of a delta. Some providers send no index, one index for all calls, or a new id each time."""
        call, index = self._calls_by_id.get(delta.id), delta.index
        if call is None or (index is not None and call.index not in (None, index)):
            call = self._last_calls.get(index)
            is_another = delta.name and (delta.id or index is None)
            if call is None or is_another:
                call = PendingCall(delta.id or f"call_{self._suffix}_{len(self._calls)}", index)
                self._calls.append(call)
        if delta.id:
            self._calls_by_id[delta.id] = call
        self._last_calls[index] = self._last_calls[None] = call
        return call

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
