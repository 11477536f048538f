"""Cuts translated streams and Responses streams at every byte: the OpenAI SDK for Node reports an error or has all."""

import json
import subprocess
from base64 import b64encode
from dataclasses import dataclass
from functools import cache

import pytest

from gateway.proxy.translate.responses_request import translate_request
from tests.e2e.clients.programs import INSTALLED, node_program
from tests.recordings import (
    ANTHROPIC,
    ANTHROPIC_CRLF,
    ANTHROPIC_TOOLS,
    RESPONSE,
    RESPONSE_CRLF,
    TEXT,
    TOOL_CALLS,
    Recording,
)
from tests.relayed_cuts import CHAT, RESPONSES, Cut, cuts
from tests.scripted_server import Ending


@dataclass(frozen=True)
class Case:
    """A recording that the client reads with `read`. With `translated`, the gateway makes a Response of it."""

    read: str
    recording: Recording
    path: str
    translated: bool = False

    def __str__(self) -> str:
        return f"{'translated ' if self.translated else ''}{self.read} {self.recording.name}"


CASES = [
    Case("text", ANTHROPIC, CHAT),
    Case("text", ANTHROPIC_CRLF, CHAT),
    Case("tool_calls", ANTHROPIC_TOOLS, CHAT),
    Case("response", RESPONSE, RESPONSES),
    Case("response", RESPONSE_CRLF, RESPONSES),
    Case("response", TEXT, RESPONSES, translated=True),
    Case("response", ANTHROPIC, RESPONSES, translated=True),
    Case("response_calls", TOOL_CALLS, RESPONSES, translated=True),
    Case("response_calls", ANTHROPIC_TOOLS, RESPONSES, translated=True),
]
ENDINGS: tuple[Ending, ...] = ("clean", "reset")


@cache
def cuts_of(case: Case, ending: Ending) -> tuple[Cut, ...]:
    """Made once, because translated chunks hold the time at which they were made."""
    translation = translate_request({"input": "a"}) if case.translated else None
    return tuple(cuts(case.recording, case.path, ending, translation))


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[str, bytes], str]:
    """Returns the SDK's outcome for each read and body. One run of Node reads all bodies of all cases."""
    keys = sorted({(case.read, cut.body) for case in CASES for ending in ENDINGS for cut in cuts_of(case, ending)})
    jobs = [json.dumps({"read": read, "body": b64encode(body).decode()}) for read, body in keys]
    command, lines = node_program("every_cut"), "\n".join(jobs)
    result = subprocess.run(
        command, input=lines, cwd=INSTALLED, capture_output=True, text=True, check=True, timeout=300
    )
    return dict(zip(keys, map(json.loads, result.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_openai_sdk_for_node_has_no_silent_half(
    case: Case, ending: Ending, outcomes: dict[tuple[str, bytes], str]
) -> None:
    every_cut = [(cut, outcomes[case.read, cut.body]) for cut in cuts_of(case, ending)]
    assert [(cut.length, outcome) for cut, outcome in every_cut if outcome != cut.expected] == []
