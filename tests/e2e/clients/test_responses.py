"""Clients of OpenAI's `/v1/responses` against providers that serve only chat completions."""

import json
from dataclasses import replace

import pytest

from tests.e2e.clients.conftest import TOOLS
from tests.e2e.clients.programs import CLIENT_PYTHON, Job, Program, node_program, python_program
from tests.e2e.clients.relay import Relay
from tests.e2e.clients.tool_provider import CLAUDE, WEATHER, ToolProvider
from tests.e2e.conftest import Gateway
from tests.rehearsal import RunningTokenHub

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PROMPT = "Grüße aus Zürich, 東京 und 🚀 im All"
CLIENTS = ("openai-python", "openai-node", "ai-sdk", "langchain", "pydantic-ai")
BROKEN = "The provider ended the stream before it was complete."
each_mode = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


def command(client: str) -> list[str]:
    match client:
        case "openai-python":
            return python_program("openai_responses")
        case "openai-node":
            return node_program("openai_responses")
        case "ai-sdk":
            return node_program("ai_sdk_responses")
        case "langchain":
            return python_program("langchain_responses", CLIENT_PYTHON)
        case _:
            return python_program("pydantic_ai_responses", CLIENT_PYTHON)


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def program(client: str, running: dict[str, Program]) -> Program:
    if client not in running:
        running[client] = Program(command(client))
    return running[client]


@pytest.fixture
def job(gateway: Gateway, relay: Relay) -> Job:
    return Job(f"{relay.url}/v1", gateway.token, prompt=PROMPT)


@each_mode
def test_reads_the_text(program: Program, job: Job, tokenhub: RunningTokenHub, stream: bool) -> None:
    result = program.run(replace(job, stream=stream))

    assert (result["text"], result["calls"], result["error"]) == (PROMPT, [], None)
    assert {request.path for request in tokenhub.requests} <= {"/v1/responses", "/v1/chat/completions"}


@pytest.mark.parametrize(("stream", "model"), [(False, "gpt"), (True, "gpt"), (True, CLAUDE)])
def test_runs_parallel_tools_and_sends_their_results(
    program: Program, job: Job, tool_provider: ToolProvider, stream: bool, model: str
) -> None:
    result = program.run(replace(job, stream=stream, tools=True, headers=TOOLS, model=model))

    assert result["error"] is None
    assert sorted(map(tuple, result["calls"]), key=str) == sorted(WEATHER, key=str)
    assert result["text"] == "sunny in Zürich; sunny in Genève"


def test_reports_a_broken_stream(program: Program, job: Job, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("cut_clean", path="/v1/chat/completions")

    result = program.run(replace(job, stream=True))

    assert BROKEN in result["error"]["message"]


def test_reports_a_wrong_token_after_one_request(program: Program, job: Job, relay: Relay) -> None:
    result = program.run(replace(job, token="wrong"))

    assert "The token is missing or invalid." in result["error"]["message"]
    assert len(relay.sent) == 1


@pytest.mark.parametrize("client", ["openai-python", "openai-node"], indirect=True)
def test_reads_structured_output(program: Program, job: Job, tokenhub: RunningTokenHub) -> None:
    result = program.run(replace(job, auth="parse", prompt=json.dumps({"city": "Zürich"}, ensure_ascii=False)))

    assert (result["text"], result["error"]) == ("Zürich", None)


@pytest.mark.parametrize("client", ["ai-sdk"], indirect=True)
def test_the_second_turn_of_the_ai_sdk_names_the_missing_option(
    program: Program, job: Job, tokenhub: RunningTokenHub
) -> None:
    result = program.run(replace(job, auth="stored"))

    assert result["error"]["status"] == 400
    assert "set providerOptions.openai.store to false" in result["error"]["message"]
