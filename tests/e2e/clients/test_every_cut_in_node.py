"""Cuts translated streams and Responses streams at every byte: the OpenAI SDK for Node reports an error or has all."""

import json
import subprocess
from base64 import b64encode
from functools import cache

import pytest

from tests.e2e.clients.programs import INSTALLED, node_program
from tests.recordings import ANTHROPIC, ANTHROPIC_CRLF, ANTHROPIC_TOOLS, RESPONSE, RESPONSE_CRLF, Recording
from tests.relayed_cuts import CHAT, RESPONSES, Cut, cuts
from tests.scripted_server import Ending

CASES = [
    ("text", ANTHROPIC, CHAT),
    ("text", ANTHROPIC_CRLF, CHAT),
    ("tool_calls", ANTHROPIC_TOOLS, CHAT),
    ("response", RESPONSE, RESPONSES),
    ("response", RESPONSE_CRLF, RESPONSES),
]
ENDINGS: tuple[Ending, ...] = ("clean", "reset")


@cache
def case(recording: Recording, path: str, ending: Ending) -> tuple[Cut, ...]:
    """Made once, because translated chunks hold the time at which they were made."""
    return tuple(cuts(recording, path, ending))


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[str, bytes], str]:
    """Returns the SDK's outcome for each read and body. One run of Node reads all bodies of all cases."""
    keys = sorted(
        {
            (read, cut.body)
            for read, recording, path in CASES
            for ending in ENDINGS
            for cut in case(recording, path, ending)
        }
    )
    jobs = [json.dumps({"read": read, "body": b64encode(body).decode()}) for read, body in keys]
    command, lines = node_program("every_cut"), "\n".join(jobs)
    result = subprocess.run(
        command, input=lines, cwd=INSTALLED, capture_output=True, text=True, check=True, timeout=300
    )
    return dict(zip(keys, map(json.loads, result.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("read", "recording", "path"), CASES, ids=[f"{read} {rec.name}" for read, rec, _ in CASES])
def test_openai_sdk_for_node_has_no_silent_half(
    read: str, recording: Recording, path: str, ending: Ending, outcomes: dict[tuple[str, bytes], str]
) -> None:
    every_cut = [(cut, outcomes[read, cut.body]) for cut in case(recording, path, ending)]
    assert [(cut.length, outcome) for cut, outcome in every_cut if outcome != cut.expected] == []
