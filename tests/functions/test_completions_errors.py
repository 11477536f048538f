"""Whose error a client receives: the gateway's, TokenHub's or a model provider's (docs/errors.md)."""

import json
from typing import Any

import pytest

from gateway.proxy.known_errors import FALLBACK_ERRORS, KNOWN_ERRORS, MODEL_ERRORS, MODEL_FALLBACK_ERRORS, KnownError
from tests.rehearsal import RunningTokenHub
from tests.scripted_server import Cut, ScriptedServer, always, answer

MESSAGES = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
ROUTE = {"resource": "/v1/messages", "path": "/v1/messages"}
RELAYED = (*MODEL_ERRORS, *MODEL_FALLBACK_ERRORS)


def name(known: KnownError) -> str:
    return f"{known.status} {known.text or known.code}"


@pytest.mark.parametrize("known", [*KNOWN_ERRORS, *FALLBACK_ERRORS], ids=name)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_names_tokenhub_as_the_source_of_its_errors(
    register: Any, complete: Any, known: KnownError, stream: bool
) -> None:
    with ScriptedServer(always(answer(known.status, known.text.encode(), "text/plain"))) as upstream:
        register(endpoint=upstream.url)
        status, headers, body = complete(MESSAGES | {"stream": stream})

    error = json.loads(body)["error"]
    assert (status, error["code"], headers["x-error-source"]) == (known.status, known.code, "tokenhub")
    assert headers.get("x-should-retry") == (None if known.retryable else "false")


@pytest.mark.parametrize("known", RELAYED, ids=name)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_names_the_models_provider_as_the_source_of_a_relayed_error(
    register: Any, complete: Any, known: KnownError, stream: bool
) -> None:
    relayed = json.dumps({"type": "error", "error": {"type": "api_error", "message": "invalid api key, no scope"}})
    wrapped = {"type": "error", "error": {"type": "server_error", "message": f"upstream {known.status}: {relayed}"}}
    whole = answer(known.status, relayed.encode(), x_negotiated_model="claude")
    with ScriptedServer(always(answer(502, json.dumps(wrapped).encode()) if stream else whole)) as upstream:
        register(endpoint=upstream.url)
        status, headers, body = complete(MESSAGES | {"stream": stream}, **ROUTE)

    content = json.loads(body)
    assert (status, content["error"]["code"], headers["x-error-source"]) == (known.status, known.code, "model")
    assert (content["type"], content["error"]["type"]) == ("error", "api_error")
    assert content["error"]["message"] == f"invalid api key, no scope. {known.remedy}"
    assert headers.get("x-should-retry") == (None if known.retryable else "false")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_overloaded_model_provider_keeps_anthropics_error_type(
    register: Any, complete: Any, tokenhub: RunningTokenHub, stream: bool
) -> None:
    register()
    tokenhub.rehearse("model_overloaded")

    status, headers, body = complete(MESSAGES | {"stream": stream}, **ROUTE)

    error = json.loads(body)["error"]
    assert (status, error["type"], headers["x-error-source"]) == (529, "overloaded_error", "model")
    assert error["message"] == "Overloaded. The model's provider is overloaded. Try again."


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_error_whose_body_breaks_off_keeps_status_retry_after_and_text(
    register: Any, complete: Any, stream: bool
) -> None:
    cut = answer(429, b"slow down and on", "text/plain", retry_after="7")[:-7]
    with ScriptedServer(always(cut, Cut.CLOSE)) as upstream:
        register(endpoint=upstream.url)
        status, headers, body = complete(MESSAGES | {"stream": stream})

    assert (status, headers["retry-after"]) == (429, "7")
    assert json.loads(body)["error"]["message"].startswith("slow down. ")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("status", [300, 304, 305])
def test_a_3xx_that_is_not_a_redirect_is_an_error_of_tokenhub(
    register: Any, complete: Any, status: int, stream: bool
) -> None:
    with ScriptedServer(always(answer(status))) as upstream:
        register(endpoint=upstream.url)
        received, headers, body = complete(MESSAGES | {"stream": stream})

    assert (received, json.loads(body)["error"]["code"]) == (502, "provider_error")
    assert headers["x-error-source"] == "tokenhub"
    assert f"HTTP {status}" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize(("status", "sent", "received"), [(400, "true", "true"), (500, "false", "false")])
def test_the_x_should_retry_of_the_provider_decides(
    register: Any, complete: Any, status: int, sent: str, received: str
) -> None:
    with ScriptedServer(always(answer(status, b"no", x_should_retry=sent))) as upstream:
        register(endpoint=upstream.url)
        _, headers, _ = complete(MESSAGES)

    assert headers["x-should-retry"] == received
