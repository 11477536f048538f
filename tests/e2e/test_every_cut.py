"""Cuts recorded streams at every byte: an SDK raises unless the stream is complete."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import anthropic
import openai
import pytest

from tests.e2e.conftest import SDK_TIMEOUT_S, Gateway
from tests.scripted_server import Ending, Pieces, Request, ScriptedServer, response
from tests.template import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RECORDED = ROOT / "tests/e2e/recorded"
AT_ONCE = 8
# Without the pause the reset may discard bytes that the client has not read.
BEFORE_A_RESET_S = 0.02


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


TOOLS = json.dumps([["call_0", '{"x":"ö"}'], ["call_1", "{}"]], ensure_ascii=False)
TEXT = Recording("openai-text", b'"finish_reason":"stop"', b"[DONE]", "Zürich 🚀")
CRLF = replace(TEXT, line_end=b"\r\n")
TOOL_CALLS = Recording("openai-tools", b'"finish_reason":"tool_calls"', b"[DONE]", TOOLS)
ANTHROPIC = Recording("anthropic", b'"type":"message_stop"', b'"type":"message_stop"', "Zürich 🚀")
RECORDINGS = {recording.name: recording for recording in (TEXT, CRLF, TOOL_CALLS, ANTHROPIC)}

# TokenHub's limit of 300 s ends a stream with "close".
every_ending = pytest.mark.parametrize("ending", ["clean", "reset", "close"])


def cut(request: Request) -> Pieces:
    """Plays the recording, length and ending that the model's name contains."""
    _, name, length, ending = request.json()["model"].split("/")
    pause = (BEFORE_A_RESET_S,) if ending == "reset" else ()
    return response((RECORDINGS[name].content[: int(length)], *pause), ending=ending)


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedServer]:
    with ScriptedServer(cut) as running:
        yield running


@pytest.fixture(scope="module")
def openai_sdk(gateway: Gateway) -> Iterator[openai.OpenAI]:
    base_url = f"{gateway.url}/v1"
    with openai.OpenAI(base_url=base_url, api_key=gateway.token, max_retries=0, timeout=SDK_TIMEOUT_S) as client:
        yield client


@pytest.fixture(scope="module")
def anthropic_sdk(gateway: Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=gateway.url, auth_token=gateway.token, max_retries=0, timeout=SDK_TIMEOUT_S
    ) as client:
        yield client


def read_text(client: openai.OpenAI, model: str) -> str:
    stream = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "a"}], stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def read_tool_calls(client: openai.OpenAI, model: str) -> str:
    stream = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "a"}], stream=True)
    calls: dict[int, list[str]] = {}
    for chunk in stream:
        for call in chunk.choices[0].delta.tool_calls or ():
            assert call.function is not None
            known = calls.setdefault(call.index, [call.id or "", ""])
            known[1] += call.function.arguments or ""
    return json.dumps(list(calls.values()), ensure_ascii=False)


def read_anthropic(client: anthropic.Anthropic, model: str) -> str:
    stream = client.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": "a"}], stream=True)
    deltas = [event.delta for event in stream if event.type == "content_block_delta"]
    return "".join(delta.text for delta in deltas if delta.type == "text_delta")


def outcome(read: Callable[[str], str], model: str) -> str:
    try:
        return read(model)
    except (openai.APIError, anthropic.APIError) as error:
        body = error.body if isinstance(error.body, dict) else {}
        # The Anthropic SDK keeps the whole frame, OpenAI's only its error.
        return str(body.get("error", body).get("code"))


def wrong(read: Callable[[str], str], recording: Recording, ending: Ending) -> list[tuple[int, str]]:
    """Returns the length and the outcome of each cut with an unexpected outcome."""
    lengths = range(len(recording.content) + 1)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        models = [f"cut/{recording.name}/{length}/{ending}" for length in lengths]
        outcomes = list(pool.map(partial(outcome, read), models))
    expected = [recording.says if recording.is_whole(length, ending) else "stream_truncated" for length in lengths]
    print(f"{recording.name} {ending}: {len(lengths)} cuts, {outcomes.count('stream_truncated')} raised")
    return [(length, got) for length, got in enumerate(outcomes) if got != expected[length]]


@pytest.fixture(scope="module", autouse=True)
def _registered(gateway: Gateway, upstream: ScriptedServer) -> None:
    gateway.register("raw", upstream.url)


@every_ending
@pytest.mark.parametrize("recording", [TEXT, CRLF], ids=["LF", "CRLF"])
def test_openai_sdk_raises_on_text_cut_anywhere(
    openai_sdk: openai.OpenAI, recording: Recording, ending: Ending
) -> None:
    assert wrong(partial(read_text, openai_sdk), recording, ending) == []


@every_ending
def test_openai_sdk_raises_on_parallel_tool_calls_cut_anywhere(openai_sdk: openai.OpenAI, ending: Ending) -> None:
    assert wrong(partial(read_tool_calls, openai_sdk), TOOL_CALLS, ending) == []


@every_ending
def test_anthropic_sdk_raises_on_frames_cut_anywhere(anthropic_sdk: anthropic.Anthropic, ending: Ending) -> None:
    assert wrong(partial(read_anthropic, anthropic_sdk), ANTHROPIC, ending) == []
