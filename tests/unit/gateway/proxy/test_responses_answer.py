"""Chat completions and their errors as answers to a Responses request."""

import codecs
import json

import pytest

from gateway.core.errors import ProviderError
from gateway.proxy.request_log import RequestLog
from gateway.proxy.responses_answer import response_builder, whole_response
from gateway.proxy.translate.responses_request import translate_request
from gateway.proxy.upstream import Target
from tests.unit.gateway.builders import a_request, completion
from tests.unit.gateway.responses import frame, read_response

# A key without the shape of one.
KEY = "correct-horse-battery-staple"
ERROR = {"error": {"message": f"wrong key {KEY}"}}


@pytest.fixture
def log() -> RequestLog:
    log = RequestLog(a_request(path="/responses"))
    log.target = Target("main", "https://tokenhub.example.com/v1", version="1", key=KEY)
    log.set_translation(translate_request({"input": "a"}))
    return log


def test_redacts_the_key_in_an_error_of_a_stream(log: RequestLog) -> None:
    builder = response_builder(log)
    assert builder is not None

    with pytest.raises(ProviderError, match=r"^wrong key \[redacted\]\. "):
        list(builder.feed(frame(ERROR)))


@pytest.mark.parametrize("fields", [{}, {"choices": []}])
def test_redacts_the_key_in_an_error_of_a_whole_answer(log: RequestLog, fields: dict[str, object]) -> None:
    with pytest.raises(ProviderError, match=r"^wrong key \[redacted\]\. "):
        whole_response(json.dumps(ERROR | fields).encode(), log)


def test_reads_a_completion_after_a_byte_order_mark(log: RequestLog) -> None:
    response = read_response(whole_response(codecs.BOM_UTF8 + completion("pong"), log))

    assert response["output"][0]["content"][0]["text"] == "pong"
