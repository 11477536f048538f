"""Cuts translated streams and Responses streams at every byte: the OpenAI SDK reports an error or has all of it.

`tests/e2e/test_every_cut.py` cuts them over real connections, at some positions.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial

import httpx2
import openai
import pytest

from gateway.core.errors import StreamTruncated
from gateway.proxy.request_log import RequestLog
from gateway.proxy.stream import relay
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
from tests.scripted_server import Ending
from tests.sdk_outcomes import (
    TRUNCATED,
    outcome,
    read_final_response,
    read_response,
    read_response_calls,
    read_text,
    read_tool_calls,
)
from tests.unit.gateway.builders import a_request

type Read = Callable[[openai.OpenAI, str], str]

CHAT, RESPONSES = "/chat/completions", "/responses"
# "close" differs from "reset" only in the upstream connection, which raises the same error for both.
every_ending = pytest.mark.parametrize("ending", ["clean", "reset"])


def relayed(stream: bytes, path: str, ending: Ending, translation: TranslatedRequest | None = None) -> bytes:
    def chunks() -> Iterator[bytes]:
        yield stream
        if ending != "clean":
            raise StreamTruncated

    log = RequestLog(a_request(stream=True, path=path))
    log.set_translation(translation)
    return b"".join(relay(chunks(), log))


def sdk_outcome(read: Read, body: bytes) -> str:
    """Returns what the SDK makes of this body, without a connection."""
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: answer))
    with openai.OpenAI(base_url="http://gateway/v1", api_key="token", max_retries=0, http_client=http) as client:
        return outcome(partial(read, client), "any")


def wrong(
    read: Read, recording: Recording, path: str, ending: Ending, translation: TranslatedRequest | None = None
) -> list[tuple[int, str]]:
    """Returns the length and the outcome of each cut with an unexpected outcome."""
    # Cuts within one frame give the client the same bytes, which the SDK reads once.
    of_body = cache(partial(sdk_outcome, read))
    lengths = range(len(recording.content) + 1)
    outcomes = [of_body(relayed(recording.content[:length], path, ending, translation)) for length in lengths]
    expected = [recording.says if recording.is_whole(length, ending) else TRUNCATED for length in lengths]
    return [(length, outcomes[length]) for length in lengths if outcomes[length] != expected[length]]


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
