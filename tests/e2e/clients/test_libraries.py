"""Client libraries against the gateway, with the settings of the table in docs/clients.md."""

import re
from dataclasses import dataclass, replace
from string import Template
from typing import cast

import pytest

from tests.e2e.clients.conftest import TOOLS
from tests.e2e.clients.programs import CLIENT_PYTHON, CLIENTS_PAGE, Job, Program, node_program, python_program
from tests.e2e.clients.relay import Relay
from tests.e2e.clients.tool_provider import CLAUDE, WEATHER, ToolProvider
from tests.e2e.conftest import Gateway
from tests.rehearsal import RunningTokenHub

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PROMPT = "Grüße aus Zürich, 東京 und 🚀 im All"
ROW = re.compile(r"^\| (.+) \| ([\d.]+) \| `(\w+)` \| `(\$URL\S*)` \| `(Authorization|x-api-key)` \|$", re.MULTILINE)


@dataclass(frozen=True)
class Library:
    """A row of the table in docs/clients.md. `option` takes the token."""

    name: str
    version: str
    option: str
    base_url: str
    token_header: str

    @property
    def id(self) -> str:
        return f"{re.sub('[`,…()]', '', self.name)} {self.version} {self.option}".replace(" ", "-")

    @property
    def auth(self) -> str:
        """Returns what the program needs to select the kind of token or provider."""
        if self.name.startswith("LiteLLM"):
            return "anthropic" if self.reads_anthropic else "openai"
        return "compatible" if self.name == "`@ai-sdk/openai-compatible`" else self.option

    @property
    def reads_anthropic(self) -> bool:
        return "anthropic" in self.name


LIBRARIES = [Library(*row) for row in ROW.findall(CLIENTS_PAGE)]
AI_SDK = ("`@ai-sdk/openai-compatible`", "`@ai-sdk/anthropic`")
# Library → its exception for a wrong token, and its exception and status for a broken stream.
EXCEPTIONS: dict[str, tuple[str, str | None, int | None]] = {
    "`openai` (Python)": ("AuthenticationError", "APIError", None),
    "`openai` (Node)": ("AuthenticationError", "APIError", None),
    "`anthropic` (Python)": ("AuthenticationError", "APIStatusError", 200),
    "`@anthropic-ai/sdk` (Node)": ("AuthenticationError", "APIError", None),
    **dict.fromkeys(AI_SDK, ("AI_APICallError", None, None)),
    "LiteLLM, `openai/…`": ("AuthenticationError", "MidStreamFallbackError", 500),
    "LiteLLM, `anthropic/…`": ("AuthenticationError", "MidStreamFallbackError", 500),
}


def command(library: Library) -> list[str]:
    match library.name, library.version.partition(".")[0]:
        case "`openai` (Python)", _:
            return python_program("openai_sdk")
        case "`anthropic` (Python)", "0":
            return python_program("anthropic_sdk", CLIENT_PYTHON)
        case "`anthropic` (Python)", _:
            return python_program("anthropic_sdk")
        case "`openai` (Node)", _:
            return node_program("openai")
        case "`@anthropic-ai/sdk` (Node)", _:
            return node_program("anthropic")
        case (("`@ai-sdk/openai-compatible`" | "`@ai-sdk/anthropic`"), _):
            return node_program("ai_sdk")
        case _:
            return python_program("litellm_sdk", CLIENT_PYTHON)


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.id)
def library(request: pytest.FixtureRequest) -> Library:
    return cast("Library", request.param)


@pytest.fixture
def program(library: Library, running: dict[str, Program]) -> Program:
    words = command(library)
    key = " ".join(words)
    if key not in running:
        running[key] = Program(words)
    return running[key]


@pytest.fixture
def job(library: Library, gateway: Gateway, relay: Relay) -> Job:
    base_url = Template(library.base_url).substitute(URL=relay.url)
    return Job(base_url, gateway.token, library.auth, prompt=PROMPT)


def test_docs_list_every_library() -> None:
    assert {library.name for library in LIBRARIES} == set(EXCEPTIONS)
    assert len(LIBRARIES) == 13


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_reads_the_text_in_one_request(
    library: Library, program: Program, job: Job, relay: Relay, tokenhub: RunningTokenHub, stream: bool
) -> None:
    result = program.run(replace(job, stream=stream))

    assert (result["text"], result["calls"], result["error"]) == (PROMPT, [], None)
    assert [sent.token_headers for sent in relay.sent] == [(library.token_header.lower(),)]
    assert len(tokenhub.requests) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_reads_parallel_tool_calls(program: Program, job: Job, tool_provider: ToolProvider, stream: bool) -> None:
    result = program.run(replace(job, stream=stream, tools=True, headers=TOOLS))

    assert result["error"] is None
    assert [tuple(call) for call in result["calls"]] == WEATHER


def test_reads_the_tool_calls_of_a_translated_stream(
    library: Library, program: Program, job: Job, relay: Relay, tool_provider: ToolProvider
) -> None:
    if library.reads_anthropic:
        pytest.skip("reads Anthropic's format")

    result = program.run(replace(job, stream=True, tools=True, headers=TOOLS, model=CLAUDE))

    assert result["error"] is None
    assert [tuple(call) for call in result["calls"]] == WEATHER


def test_reports_a_wrong_token_after_one_request(library: Library, program: Program, job: Job, relay: Relay) -> None:
    result = program.run(replace(job, token="wrong", stream=True))

    assert result["text"] == ""
    assert (result["error"]["type"], result["error"]["status"]) == (EXCEPTIONS[library.name][0], 401)
    assert "The token is missing or invalid." in result["error"]["message"]
    assert len(relay.sent) == 1


def test_reports_a_broken_stream_after_its_text(
    library: Library, program: Program, job: Job, relay: Relay, tokenhub: RunningTokenHub
) -> None:
    tokenhub.rehearse("cut_clean")

    result = program.run(replace(job, stream=True))

    # The rehearsal TokenHub cuts a stream after three tokens.
    assert result["text"] == "Grüße aus Zürich,"
    assert (result["error"]["type"], result["error"]["status"]) == EXCEPTIONS[library.name][1:]
    assert "The provider ended the stream before it was complete." in result["error"]["message"]
    # The loop over the AI SDK's textStream ends without an exception.
    assert result.get("finish") == ("error" if library.name in AI_SDK else None)
    assert len(relay.sent) == 1
