"""Recorded streams that tests cut at every byte."""

import json
from dataclasses import dataclass, replace

from tests.scripted_server import Ending
from tests.template import ROOT

RECORDED = ROOT / "tests/e2e/recorded"


@dataclass(frozen=True)
class Recording:
    """A complete stream. It ends with the frame that contains `last`.

    If the connection ends cleanly, the stream is complete from the frame that contains `finish`, but not within a later
    frame. `says` is the text that a client reads.
    """

    file: str
    finish: bytes
    last: bytes
    says: str
    line_end: bytes = b"\n"

    @property
    def name(self) -> str:
        return f"{self.file} {self.line_end.hex()}"

    @property
    def content(self) -> bytes:
        return (RECORDED / f"{self.file}.sse").read_bytes().replace(b"\n", self.line_end)

    def is_whole(self, length: int, ending: Ending) -> bool:
        """Whether the stream is complete in its first `length` bytes. A lone CR ends a line too.

        After a clean end, the last event is complete without its blank line too, if its data is.
        """
        if ending != "clean":
            blank = (self.line_end * 2)[:3]
            return length >= self.content.index(blank, self.content.index(self.last)) + len(blank)
        *complete, rest = self.content[:length].split(self.line_end * 2)
        rest, original = rest.strip(b"\r\n"), self.content.split(self.line_end * 2)[len(complete)].strip(b"\r\n")
        is_cut_in_data = bool(rest.partition(b"data:")[2].strip()) and rest != original
        return not is_cut_in_data and any(self.finish in frame for frame in [*complete, rest])


# In the form of JavaScript's JSON.stringify, because programs for Node return it too.
TOOLS = json.dumps([["call_0", '{"x":"ö"}'], ["call_1", "{}"]], ensure_ascii=False, separators=(",", ":"))
TEXT = Recording("openai-text", b'"finish_reason":"stop"', b"[DONE]", "Zürich 🚀")
CRLF = replace(TEXT, line_end=b"\r\n")
TOOL_CALLS = Recording("openai-tools", b'"finish_reason":"tool_calls"', b"[DONE]", TOOLS)
MESSAGE_STOP = b'"type":"message_stop"'
ANTHROPIC = Recording("anthropic", MESSAGE_STOP, MESSAGE_STOP, "Zürich 🚀")
ANTHROPIC_CRLF = replace(ANTHROPIC, line_end=b"\r\n")
ANTHROPIC_TOOLS = Recording("anthropic-tools", MESSAGE_STOP, MESSAGE_STOP, TOOLS)
COMPLETED = b'"type":"response.completed"'
RESPONSE = Recording("responses", COMPLETED, COMPLETED, "Zürich 🚀")
RESPONSE_CRLF = replace(RESPONSE, line_end=b"\r\n")
ALL = (TEXT, CRLF, TOOL_CALLS, ANTHROPIC, ANTHROPIC_CRLF, ANTHROPIC_TOOLS, RESPONSE, RESPONSE_CRLF)
RECORDINGS = {recording.name: recording for recording in ALL}
