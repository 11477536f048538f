"""Cuts translated streams and Responses streams at every byte: the OpenAI SDK reports an error or has all of it.

`tests/e2e/test_every_cut.py` cuts them over real connections, at some positions, and
`tests/e2e/clients/test_every_cut_in_node.py` reads them with the SDK for Node.
"""

from collections.abc import Callable
from functools import partial

import httpx2
import openai
import pytest

from gateway.proxy.translate.responses_request import TranslatedRequest, translate_request
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
from tests.relayed_cuts import CHAT, RESPONSES, cuts
from tests.scripted_server import Ending
from tests.sdk_outcomes import (
    outcome,
    read_final_response,
    read_response,
    read_response_calls,
    read_text,
    read_tool_calls,
)

type Read = Callable[[openai.OpenAI, str], str]

# "close" differs from "reset" only in the upstream connection, which raises the same error for both.
every_ending = pytest.mark.parametrize("ending", ["clean", "reset"])


def wrong(
    read: Read, recording: Recording, path: str, ending: Ending, translation: TranslatedRequest | None = None
) -> list[tuple[int, str]]:
    """Returns the length and the outcome of each cut with an unexpected outcome, without a connection."""
    served = b""

    def serve(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=served)

    # Cuts within one frame give the client the same bytes, which the SDK reads once.
    outcomes: dict[bytes, str] = {}
    every_cut = list(cuts(recording, path, ending, translation))
    http = httpx2.Client(transport=httpx2.MockTransport(serve))
    with openai.OpenAI(base_url="http://gateway/v1", api_key="token", max_retries=0, http_client=http) as client:
        for served in {cut.body for cut in every_cut}:
            outcomes[served] = outcome(partial(read, client), "any")
    return [(cut.length, outcomes[cut.body]) for cut in every_cut if outcomes[cut.body] != cut.expected]


@every_ending
@pytest.mark.parametrize("recording", [ANTHROPIC, ANTHROPIC_CRLF], ids=["LF", "CRLF"])
def test_openai_sdk_raises_on_translated_text_cut_anywhere(recording: Recording, ending: Ending) -> None:
    assert wrong(read_text, recording, CHAT, ending) == []


@every_ending
def test_openai_sdk_raises_on_translated_tool_calls_cut_anywhere(ending: Ending) -> None:
    assert wrong(read_tool_calls, ANTHROPIC_TOOLS, CHAT, ending) == []


@every_ending
@pytest.mark.parametrize("recording", [RESPONSE, RESPONSE_CRLF], ids=["LF", "CRLF"])
@pytest.mark.parametrize("read", [read_response, read_final_response], ids=["create", "stream"])
def test_openai_sdk_reports_a_response_cut_anywhere(read: Read, recording: Recording, ending: Ending) -> None:
    assert wrong(read, recording, RESPONSES, ending) == []


@every_ending
@pytest.mark.parametrize(
    ("read", "recording"),
    [(read_response, TEXT), (read_response, ANTHROPIC), (read_final_response, TEXT)],
    ids=["create", "create-Anthropic", "stream"],
)
def test_openai_sdk_reports_a_translated_response_cut_anywhere(
    read: Read, recording: Recording, ending: Ending
) -> None:
    assert wrong(read, recording, RESPONSES, ending, translate_request({"input": "a"})) == []


@every_ending
@pytest.mark.parametrize("recording", [TOOL_CALLS, ANTHROPIC_TOOLS], ids=["OpenAI", "Anthropic"])
def test_openai_sdk_reports_translated_function_calls_cut_anywhere(recording: Recording, ending: Ending) -> None:
    assert wrong(read_response_calls, recording, RESPONSES, ending, translate_request({"input": "a"})) == []
