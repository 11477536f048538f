"""Claude Code in print mode, with the environment variables of docs/clients.md."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template
from typing import Any

import pytest

from tests.e2e.clients.programs import CLIENTS_PAGE, INSTALLED, node, run_tool
from tests.e2e.clients.relay import Relay
from tests.e2e.clients.tool_provider import CLAUDE, ToolProvider
from tests.e2e.conftest import Gateway
from tests.rehearsal import RunningTokenHub
from tests.scripted_server import ScriptedServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# The launcher of the package. Its install script, which does not run, would replace it by the program.
LAUNCHER = INSTALLED / "node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs"
PROMPT = "Grüße aus Zürich 🚀"
SETTINGS = dict(re.findall(r"^export (ANTHROPIC_\w+|CLAUDE_\w+)=(.+)$", CLIENTS_PAGE, re.MULTILINE))
KEY_SETTINGS = {
    name: value for name, value in SETTINGS.items() if name not in ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL")
} | {"ANTHROPIC_API_KEY": "$TOKEN", "ANTHROPIC_BASE_URL": "$URL/anthropic"}
NO_FALLBACK = "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK"

type Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(gateway: Gateway, relay: Relay, tmp_path: Path) -> Ask:
    """Runs `claude -p` and returns its result in JSON, and its exit code as `exit`."""

    def run(
        *arguments: str, settings: Mapping[str, str] = SETTINGS, token: str = gateway.token, **more: str
    ) -> dict[str, Any]:
        values = {"URL": relay.url, "TOKEN": token}
        variables = {name: Template(value.strip('"')).substitute(values) for name, value in settings.items()}
        command = [node(), str(LAUNCHER), "-p", "--output-format", "json", *arguments]
        done = run_tool(command, tmp_path, variables | {"ANTHROPIC_MODEL": "echo"} | more)
        assert done.stdout, done.stderr
        return dict(json.loads(done.stdout)) | {"exit": done.returncode}

    return run


def posts(relay: Relay) -> list[tuple[str, tuple[str, ...]]]:
    """Returns the path and the token headers of each POST. `HEAD` requests without a token precede them."""
    return [(sent.target, sent.token_headers) for sent in relay.sent if sent.method == "POST"]


def test_answers_in_one_request(ask: Ask, relay: Relay, tokenhub: RunningTokenHub) -> None:
    result = ask(PROMPT)

    # The rehearsal TokenHub echoes the whole user message, to which Claude Code adds reminders.
    assert result["result"].endswith(PROMPT)
    assert (result["is_error"], result["exit"]) == (False, 0)
    assert posts(relay) == [("/v1/messages?beta=true", ("authorization",))]
    [request] = tokenhub.requests
    assert b'"context_management"' not in request.body


def test_answers_with_an_api_key(ask: Ask, relay: Relay, tokenhub: RunningTokenHub) -> None:
    result = ask(PROMPT, settings=KEY_SETTINGS)

    assert result["result"].endswith(PROMPT)
    assert (result["is_error"], result["exit"]) == (False, 0)
    assert posts(relay) == [("/anthropic/v1/messages?beta=true", ("x-api-key",))]


def test_runs_a_tool_and_sends_its_result(
    ask: Ask, tool_provider: ToolProvider, tool_server: ScriptedServer, tmp_path: Path
) -> None:
    note = tmp_path / "note.txt"
    note.write_text("It is sunny in Zürich.")
    tool_provider.calls = [("Read", {"file_path": str(note)})]
    tool_server.requests.clear()
    header = {"ANTHROPIC_MODEL": CLAUDE, "ANTHROPIC_CUSTOM_HEADERS": "X-Provider-Id: tools"}

    result = ask("What is the weather?", "--allowedTools", "Read", **header)

    assert "It is sunny in Zürich." in result["result"]
    assert (result["num_turns"], result["is_error"], result["exit"]) == (2, False, 0)
    assert [request.json()["stream"] for request in tool_server.requests] == [True, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [(SETTINGS, "Not logged in · Please run /login"), (KEY_SETTINGS, "Invalid API key · Fix external API key")],
    ids=["auth-token", "api-key"],
)
def test_reports_a_wrong_token_after_one_request(
    ask: Ask, relay: Relay, settings: Mapping[str, str], message: str
) -> None:
    result = ask(PROMPT, settings=settings, token="wrong")

    assert (result["is_error"], result["api_error_status"], result["exit"]) == (True, 401, 1)
    assert result["result"] == message
    assert len(posts(relay)) == 1


def test_reports_a_broken_stream_after_one_request(ask: Ask, relay: Relay, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("cut_clean", times=1)

    result = ask(PROMPT)

    message = "The provider ended the stream before it was complete. Discard the received part and try again."
    assert result["result"] == f"API Error: {message}"
    assert (result["is_error"], result["exit"]) == (True, 1)
    assert len(posts(relay)) == 1


def test_repeats_a_broken_stream_without_streaming_by_default(ask: Ask, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("cut_clean", times=1)

    result = ask(PROMPT, settings={name: value for name, value in SETTINGS.items() if name != NO_FALLBACK})

    assert (result["is_error"], result["exit"]) == (False, 0)
    assert [json.loads(request.body).get("stream", False) for request in tokenhub.requests] == [True, False]
