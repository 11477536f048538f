"""Responses that are compressed although the gateway requested `identity`."""

import json
from typing import Any

import pytest

from tests.rehearsal import RunningTokenHub
from tests.scripted_server import DONE, ScriptedServer, always, answer

MESSAGES = {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_returns_a_compressed_answer_decompressed(
    register: Any, complete: Any, tokenhub: RunningTokenHub, stream: bool
) -> None:
    register()
    tokenhub.rehearse("gzipped")

    status, headers, body = complete(MESSAGES | {"stream": stream})

    assert status == 200
    assert "content-encoding" not in headers
    assert body.endswith(DONE) if stream else json.loads(body)["choices"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_rejects_an_answer_in_an_unknown_coding(register: Any, complete: Any, stream: bool) -> None:
    with ScriptedServer(always(answer(body=b"xyz", content_encoding="br"))) as upstream:
        register(endpoint=upstream.url)
        status, headers, body = complete(MESSAGES | {"stream": stream})

    assert (status, json.loads(body)["error"]["code"]) == (502, "encoding_unsupported")
    assert headers["x-should-retry"] == "false"
