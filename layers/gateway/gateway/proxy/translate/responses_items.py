"""The output items of a Response and their events, with OpenAI's names and in its order."""

import json
from abc import ABC, abstractmethod
from json.encoder import encode_basestring_ascii
from typing import Any

from gateway.proxy.sse import json_object
from gateway.proxy.translate.responses_tools import Tool, custom_input, cut_input

type Json = dict[str, Any]


class EventWriter:
    """Writes events and numbers them."""

    def __init__(self) -> None:
        self._next_number = 0

    def event(self, kind: str, **fields: object) -> bytes:
        content = json.dumps({"type": kind, "sequence_number": self._number()} | fields, separators=(",", ":"))
        return f"event: {kind}\ndata: {content}\n\n".encode()

    def delta(self, start: str, text: str) -> bytes:
        """Returns a delta event, the most frequent kind. `start` has everything but the text and the number."""
        # ASCII only: a text may have half of a surrogate pair, which UTF-8 cannot encode.
        return f'{start}{encode_basestring_ascii(text)},"sequence_number":{self._number()}}}\n\n'.encode()

    def event_with(self, kind: str, name: str, content: str) -> bytes:
        """Returns an event with a member that is JSON already."""
        start = f'{{"type":"{kind}","sequence_number":{self._number()}'
        return f'event: {kind}\ndata: {start},"{name}":{content}}}\n\n'.encode()

    def _number(self) -> int:
        self._next_number += 1
        return self._next_number - 1


class OutputItem(ABC):
    """One item, whose text arrives in pieces. `value` is the item after the last event."""

    prefix = ""
    delta_kind = ""

    def __init__(self, writer: EventWriter, index: int, suffix: str) -> None:
        self.value: Json = {"id": f"{self.prefix}_{suffix}_{index}"}
        self.is_done = False
        self._writer = writer
        self._place: Json = {"item_id": self.value["id"], "output_index": index}
        self._pieces: list[str] = []
        self._delta_start = ""

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def is_whole(self) -> bool:
        """Whether the pieces so far may be the whole item."""
        return True

    def open(self) -> bytes:
        """Returns the events before the first piece."""
        fields = json.dumps({"type": self.delta_kind} | self._place | self._part_place(), separators=(",", ":"))
        self._delta_start = f'event: {self.delta_kind}\ndata: {fields[:-1]},{self._delta_fields()}"delta":'
        return self._event("response.output_item.added", item=self.value) + self._open_part()

    def append(self, text: str) -> bytes:
        """Returns the event of a piece of the text."""
        self._pieces.append(text)
        return self._writer.delta(self._delta_start, text)

    def close(self, status: str) -> bytes:
        """Returns the events after the last piece. `status` is completed or incomplete."""
        self.is_done = True
        part_events = self._close_part()
        if "status" in self.value:
            self.value["status"] = status
        return part_events + self._event("response.output_item.done", item=self.value)

    def _part_place(self) -> Json:
        return {}

    def _delta_fields(self) -> str:
        return ""

    def _open_part(self) -> bytes:
        return b""

    @abstractmethod
    def _close_part(self) -> bytes:
        """Sets the content of `value`. Returns the events between the last piece and the end of the item."""

    def _event(self, kind: str, **fields: object) -> bytes:
        place = self._place if "item" not in fields else {"output_index": self._place["output_index"]}
        return self._writer.event(kind, **place, **fields)


class Message(OutputItem):
    """A message with one part of text."""

    prefix = "msg"
    delta_kind = "response.output_text.delta"

    def __init__(self, writer: EventWriter, index: int, suffix: str) -> None:
        super().__init__(writer, index, suffix)
        self.value |= {"type": "message", "status": "in_progress", "role": "assistant", "content": []}

    def _part_place(self) -> Json:
        return {"content_index": 0}

    def _delta_fields(self) -> str:
        return '"logprobs":[],'

    def _part(self) -> Json:
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": []}

    def _open_part(self) -> bytes:
        return self._event("response.content_part.added", content_index=0, part=self._part())

    def _close_part(self) -> bytes:
        self.value["content"] = [part := self._part()]
        return self._close_text() + self._event("response.content_part.done", content_index=0, part=part)

    def _close_text(self) -> bytes:
        return self._event("response.output_text.done", content_index=0, text=self.text, logprobs=[])


class Refusal(Message):
    """A message with one part that is a refusal."""

    delta_kind = "response.refusal.delta"

    def _delta_fields(self) -> str:
        return ""

    def _part(self) -> Json:
        return {"type": "refusal", "refusal": self.text}

    def _close_text(self) -> bytes:
        return self._event("response.refusal.done", content_index=0, refusal=self.text)


class Reasoning(OutputItem):
    """The reasoning of a model, as a summary, because the AI SDK and LangChain show no other form."""

    prefix = "rs"
    delta_kind = "response.reasoning_summary_text.delta"

    def __init__(self, writer: EventWriter, index: int, suffix: str) -> None:
        super().__init__(writer, index, suffix)
        self.value |= {"type": "reasoning", "status": "in_progress", "summary": []}

    def _part_place(self) -> Json:
        return {"summary_index": 0}

    def _part(self) -> Json:
        return {"type": "summary_text", "text": self.text}

    def _open_part(self) -> bytes:
        return self._event("response.reasoning_summary_part.added", summary_index=0, part=self._part())

    def _close_part(self) -> bytes:
        self.value["summary"] = [part := self._part()]
        text_done = self._event("response.reasoning_summary_text.done", summary_index=0, text=self.text)
        return text_done + self._event("response.reasoning_summary_part.done", summary_index=0, part=part)


class ToolCall(OutputItem):
    """A call of a tool. A cut call has no done events.

    Codex runs a call at its `output_item.done`, whatever its status (codex-rs/core/src/stream_events_utils.rs).
    """

    @property
    def is_whole(self) -> bool:
        return json_object(self.text.encode(errors="replace")) is not None

    def close(self, status: str) -> bytes:
        if status == "completed":
            return super().close(status)
        self.is_done = True
        self.value["status"] = status
        return self._close_input()

    def _close_part(self) -> bytes:
        return self._close_input() + self._input_done()

    @abstractmethod
    def _close_input(self) -> bytes:
        """Sets the input of `value`. Returns its delta if no delta was sent before."""

    def _input_done(self) -> bytes:
        return b""


class FunctionCall(ToolCall):
    prefix = "fc"
    delta_kind = "response.function_call_arguments.delta"

    def __init__(self, writer: EventWriter, index: int, suffix: str, call_id: str, tool: Tool) -> None:
        super().__init__(writer, index, suffix)
        self.value |= {"type": "function_call", "status": "in_progress", "arguments": "", **_identity(call_id, tool)}

    def _close_input(self) -> bytes:
        self.value["arguments"] = self.text
        return b""

    def _input_done(self) -> bytes:
        kind = "response.function_call_arguments.done"
        return self._event(kind, name=self.value["name"], arguments=self.text)


class CustomToolCall(ToolCall):
    """A call of a custom tool. Its input is known only when the arguments of its function are complete."""

    prefix = "ctc"
    delta_kind = "response.custom_tool_call_input.delta"

    def __init__(self, writer: EventWriter, index: int, suffix: str, call_id: str, tool: Tool) -> None:
        super().__init__(writer, index, suffix)
        self.value |= {"type": "custom_tool_call", "input": "", **_identity(call_id, tool)}

    def append(self, text: str) -> bytes:
        self._pieces.append(text)
        return b""

    def _close_input(self) -> bytes:
        read_input = cut_input if self.value.get("status") == "incomplete" else custom_input
        value = self.value["input"] = read_input(self.text)
        return self._writer.delta(self._delta_start, value)

    def _input_done(self) -> bytes:
        return self._event("response.custom_tool_call_input.done", input=self.value["input"])


class ToolSearchCall(ToolCall):
    """A search for tools that the client runs. Its arguments are an object, so they have no deltas."""

    prefix = "tsc"

    def __init__(self, writer: EventWriter, index: int, suffix: str, call_id: str, _tool: Tool) -> None:
        super().__init__(writer, index, suffix)
        search: Json = {"type": "tool_search_call", "status": "in_progress", "execution": "client", "call_id": call_id}
        self.value |= search | {"arguments": {}}

    def append(self, text: str) -> bytes:
        self._pieces.append(text)
        return b""

    def _close_input(self) -> bytes:
        self.value["arguments"] = json_object(self.text.encode(errors="replace")) or {}
        return b""


def _identity(call_id: str, tool: Tool) -> Json:
    return {"call_id": call_id, "name": tool.name} | ({"namespace": tool.namespace} if tool.namespace else {})
