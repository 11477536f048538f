"""Codex in its non-interactive mode, with the config.toml of docs/clients.md."""

import re
from collections.abc import Callable
from pathlib import Path
from string import Template
from subprocess import CompletedProcess

import pytest

from tests.e2e.clients.programs import CLIENTS_PAGE, INSTALLED, node, run_tool
from tests.e2e.clients.relay import Relay
from tests.e2e.clients.tool_provider import ToolProvider
from tests.e2e.conftest import Gateway
from tests.rehearsal import RunningTokenHub
from tests.scripted_server import ScriptedServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LAUNCHER = INSTALLED / "node_modules/@openai/codex/bin/codex.js"
OPTIONS = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
[CONFIG] = re.findall(r"^```toml\n(model = .+?)^```", CLIENTS_PAGE, re.MULTILINE | re.DOTALL)
# For this model Codex sends a custom tool and a tool search. For an unknown model it sends only functions.
KNOWN_MODEL = "gpt-5.5"
PATCH = "*** Begin Patch\n*** Update File: note.txt\n@@\n-It will rain.\n+It will snow.\n*** End Patch"
TOOLS_PROVIDER = '\nhttp_headers = { "X-Provider-Id" = "tools" }\n'

type Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def run(gateway: Gateway, relay: Relay, tmp_path: Path) -> Run:
    """Runs `codex exec` in a folder with `note.txt`."""
    (tmp_path / "note.txt").write_text("It will rain.\n")
    (tmp_path / ".codex").mkdir()

    def execute(
        prompt: str, *, token: str = gateway.token, model: str = "echo", settings: str = ""
    ) -> CompletedProcess[str]:
        config = Template(CONFIG).substitute(URL=relay.url).replace("gpt-4o", model)
        (tmp_path / ".codex/config.toml").write_text(config + settings)
        return run_tool([node(), str(LAUNCHER), "exec", *OPTIONS, prompt], tmp_path, {"TOKENHUB_TOKEN": token})

    return execute


def test_reads_a_file_edits_it_and_finishes(
    run: Run, tool_provider: ToolProvider, tool_server: ScriptedServer, tmp_path: Path
) -> None:
    tool_provider.turns = [
        [("exec_command", {"cmd": "cat note.txt"})],
        [("exec_command", {"cmd": "sed -i s/rain/snow/ note.txt && cat note.txt"})],
    ]
    tool_server.requests.clear()

    done = run("Correct the note.", settings=TOOLS_PROVIDER)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "note.txt").read_text() == "It will snow.\n"
    # The scripted model ends by repeating the outputs of its tools.
    assert "It will rain." in done.stdout
    assert "It will snow." in done.stdout
    chats = [request.json() for request in tool_server.requests if request.target == "/v1/chat/completions"]
    assert [[message["role"] for message in chat["messages"]].count("tool") for chat in chats] == [0, 1, 2]


def test_searches_for_a_tool_and_edits_a_file_by_a_custom_tool(
    run: Run, tool_provider: ToolProvider, tool_server: ScriptedServer, tmp_path: Path
) -> None:
    tool_provider.turns = [[("tool_search", {"query": "spawn an agent"})], [("apply_patch", {"input": PATCH})]]
    tool_server.requests.clear()

    done = run("Correct the note.", model=KNOWN_MODEL, settings=TOOLS_PROVIDER)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "note.txt").read_text() == "It will snow.\n"
    chats = [request.json() for request in tool_server.requests if request.target == "/v1/chat/completions"]
    tools = [{tool["function"]["name"] for tool in chat["tools"]} for chat in chats]
    [loaded] = re.findall(r"can now be called: (.+)\.", chats[1]["messages"][-1]["content"])
    assert set(loaded.split(", ")) == tools[1] - tools[0]


def test_reports_a_broken_stream_with_the_message_of_the_gateway(
    run: Run, relay: Relay, tokenhub: RunningTokenHub
) -> None:
    tokenhub.rehearse("cut_clean", path="/v1/chat/completions")

    done = run("Hello")

    assert done.returncode == 1
    assert "The provider ended the stream before it was complete. Discard the received part" in done.stderr
    assert len(relay.sent) == 1


def test_reports_a_wrong_token_after_one_request(run: Run, relay: Relay) -> None:
    done = run("Hello", token="wrong")

    assert done.returncode == 1
    assert "The token is missing or invalid." in done.stderr
    assert len(relay.sent) == 1
