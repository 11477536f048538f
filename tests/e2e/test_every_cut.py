"""Cuts recorded streams at every byte: an SDK raises unless the stream is complete."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import anthropic
import openai
import pytest

from tests.e2e.conftest import SDK_TIMEOUT_S, Gateway
from tests.recordings import (
    ANTHROPIC,
    ANTHROPIC_TOOLS,
    CRLF,
    RECORDINGS,
    RESPONSE,
    TEXT,
    TOOL_CALLS,
    Recording,
)
from tests.scripted_server import Ending, Pieces, Request, ScriptedServer, response
from tests.sdk_outcomes import TRUNCATED, outcome, read_anthropic, read_response, read_text, read_tool_calls

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

AT_ONCE = 8
# Without the pause the reset may discard bytes that the client has not read.
BEFORE_A_RESET_S = 0.02
# Between two cuts of a recording of which tests/sdks/test_every_cut.py cuts every byte.
SAMPLE_STEP = 37

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


def wrong(read: Callable[[str], str], recording: Recording, ending: Ending, *, step: int = 1) -> list[tuple[int, str]]:
    """Returns the length and the outcome of each cut with an unexpected outcome. The last cut cuts nothing off."""
    lengths = range(len(recording.content) % step, len(recording.content) + 1, step)
    models = [f"cut/{recording.name}/{length}/{ending}" for length in lengths]
    # One stream first: if threads parse the first events at once, openai 3.57 leaves `event.response` a dict for ever.
    outcome(read, models[-1])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(partial(outcome, read), models))
    expected = [recording.says if recording.is_whole(length, ending) else TRUNCATED for length in lengths]
    print(f"{recording.name} {ending}: {len(lengths)} cuts, {outcomes.count(TRUNCATED)} reported")
    return [(length, got) for length, got, right in zip(lengths, outcomes, expected, strict=True) if got != right]


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


@every_ending
def test_openai_sdk_raises_on_a_cut_translated_stream(openai_sdk: openai.OpenAI, ending: Ending) -> None:
    assert wrong(partial(read_text, openai_sdk), ANTHROPIC, ending, step=SAMPLE_STEP) == []
    assert wrong(partial(read_tool_calls, openai_sdk), ANTHROPIC_TOOLS, ending, step=SAMPLE_STEP) == []


@every_ending
def test_openai_sdk_reports_a_cut_response(openai_sdk: openai.OpenAI, ending: Ending) -> None:
    assert wrong(partial(read_response, openai_sdk), RESPONSE, ending, step=SAMPLE_STEP) == []
