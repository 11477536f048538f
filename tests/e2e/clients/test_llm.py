"""The command-line tool llm, with the model file of docs/clients.md."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from string import Template
from subprocess import CompletedProcess

import pytest

from tests.e2e.clients.programs import CLIENTS_PAGE, INSTALLED, run_tool
from tests.e2e.clients.relay import Relay
from tests.e2e.conftest import Gateway
from tests.rehearsal import RunningTokenHub

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LLM = str(INSTALLED / "python/bin/llm")
PROMPT = "Grüße aus Zürich, 東京 und 🚀"
[MODELS] = re.findall(r"^```yaml\n(- model_id: .+?)^```", CLIENTS_PAGE, re.MULTILINE | re.DOTALL)
FUNCTION = 'def get_weather(city: str) -> str:\n    "Returns the weather of a city."\n    return "sunny in " + city'

type Ask = Callable[..., CompletedProcess[str]]


@pytest.fixture
def ask(gateway: Gateway, relay: Relay, tmp_path: Path) -> Ask:
    """Runs `llm` with the model of docs/clients.md, which TokenHub serves as `echo`."""
    models = Template(MODELS).substitute(URL=relay.url).replace("anthropic/claude-sonnet-4-20250514", "echo")
    (tmp_path / "extra-openai-models.yaml").write_text(models)

    def run(*arguments: str, token: str = gateway.token) -> CompletedProcess[str]:
        command = [LLM, "-m", "tokenhub", "--key", token, *arguments]
        return run_tool(command, tmp_path, {"LLM_USER_PATH": str(tmp_path)})

    return run


@pytest.mark.parametrize("arguments", [(), ("--no-stream",)], ids=["stream", "plain"])
def test_prints_the_answer_of_one_request(ask: Ask, tokenhub: RunningTokenHub, arguments: tuple[str, ...]) -> None:
    done = ask(PROMPT, *arguments)

    assert (done.stdout, done.stderr, done.returncode) == (f"{PROMPT}\n", "", 0)
    assert [json.loads(request.body)["stream"] for request in tokenhub.requests] == [not arguments]


def test_runs_tools_and_sends_their_results(ask: Ask, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("tool_calls", times=1)

    done = ask(PROMPT, "--functions", FUNCTION)

    assert (done.stdout.strip(), done.returncode) == (PROMPT, 0)
    messages = json.loads(tokenhub.requests[-1].body)["messages"]
    results = [message["content"] for message in messages if message["role"] == "tool"]
    assert results == ["sunny in Zürich", "sunny in Zürich"]
    assert len(tokenhub.requests) == 2


def test_reports_a_wrong_token_after_one_request(ask: Ask, relay: Relay) -> None:
    done = ask(PROMPT, token="wrong")

    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.startswith("Error: Error code: 401 - The token is missing or invalid.")
    assert [sent.token_headers for sent in relay.sent] == [("authorization",)]


def test_reports_a_broken_stream_after_its_text(ask: Ask, relay: Relay, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("cut_clean")

    done = ask(PROMPT)

    assert (done.stdout, done.returncode) == ("Grüße aus Zürich,", 1)
    assert done.stderr.startswith("Error: The provider ended the stream before it was complete.")
    assert len(relay.sent) == 1
