"""Errors of a model's provider in an answer with status 200 fail the heartbeat."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.proxy.upstream import Upstream
from gateway.registry.provider import Health
from tests.rehearsal import RunningTokenHub
from tests.scripted_server import always, answer
from tests.unit.gateway.builders import KEY, a_provider, completion
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.heartbeat.test_verdict import error_of

CHOICE = {"index": 0, "message": {"role": "assistant", "content": "pong"}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"error": {"message": "no credit", "code": 402}}, "no credit"),
        ({"error": "no credit"}, "no credit"),
        ({"error": f"refused {KEY}"}, "refused [redacted]"),
        ({"choices": [CHOICE | {"error": {"message": "no credit"}}]}, "no credit"),
        ({"choices": [CHOICE, CHOICE | {"error": {"message": "no credit"}}]}, "no credit"),
        ({"choices": [CHOICE | {"finish_reason": "error"}]}, "The finish reason is error"),
    ],
)
def test_rejects_an_error_beside_or_in_the_choices(
    patient_upstream: Upstream, serve: Serve, members: dict[str, Any], message: str
) -> None:
    error = error_of(patient_upstream, serve(always(answer(body=completion(**members)))).url)

    assert error == (
        f"HTTP 200: The answer contains an error: {message}. Users get it too. "
        "Fix it in TokenHub or at the model's provider."
    )


@pytest.mark.parametrize(
    "members",
    [
        {"error": None},
        {"error": {}},
        {"choices": [CHOICE | {"error": None}]},
        {"choices": [CHOICE | {"finish_reason": "content_filter"}]},
        {"choices": [CHOICE | {"finish_reason": "length", "message": {"role": "assistant", "content": ""}}]},
    ],
)
def test_accepts_filtered_and_empty_answers_and_empty_errors(
    patient_upstream: Upstream, serve: Serve, members: dict[str, Any]
) -> None:
    assert error_of(patient_upstream, serve(always(answer(body=completion(**members)))).url) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"error": {"code": 400, "message": "no credit", "status": "INVALID_ARGUMENT"}}]', "no credit"),
        ('[{\n  "error": {"code": 400, "mess', '[{   "error": {"code": 400, "mess'),
        ('{"detail": "Not Found"}', "Not Found"),
        ('{"detail": [{"msg": "no credit"}]}', '{"detail": [{"msg": "no credit"}]}'),
        ('{"object": "error", "message": "no credit", "code": 404}', "no credit"),
        ('{"message": "no credit", "object": "error"}', "no credit"),
        ('{"object": "error", "mess', '{"object": "error", "mess'),
        ('{"errors": [{"message": "no credit"}]}', '{"errors": [{"message": "no credit"}]}'),
    ],
)
def test_rejects_a_wrapped_error_in_every_form(
    patient_upstream: Upstream, serve: Serve, text: str, message: str
) -> None:
    url = serve(always(answer(body=completion(text, usage=None)))).url

    assert error_of(patient_upstream, url) == (
        f"HTTP 200: The answer wraps an error of a model's provider: {message}. Users get it too. "
        "Fix it in TokenHub or at the model's provider."
    )


@pytest.mark.parametrize("text", ['{"detail": "Not Found"}', '[{"error": {}}]', '{"object": "error"}'])
def test_accepts_a_models_text_that_looks_like_an_error_if_it_used_tokens(
    patient_upstream: Upstream, serve: Serve, text: str
) -> None:
    assert error_of(patient_upstream, serve(always(answer(body=completion(text)))).url) is None


WRAPPED = "The answer wraps an error of a model's provider: "
FAILED = "contains an error: Upstream failed."
MODES = {
    "wrapped_list": (f"{WRAPPED}Incorrect API key provided", f"{WRAPPED}Incorrect API key provided"),
    "wrapped_detail": (f"{WRAPPED}Not Found.", f"{WRAPPED}Not Found."),
    "wrapped_object": (f"{WRAPPED}The model does not exist.", f"{WRAPPED}The model does not exist."),
    "choice_error": (
        "The answer contains an error: Upstream failed.",
        "The stream contains an error: Upstream failed.",
    ),
    "error_beside_choices": (f"The answer {FAILED}", f"The stream {FAILED}"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("mode", MODES)
def test_reports_each_hidden_error_of_the_rehearsal_tokenhub(
    tokenhub: RunningTokenHub, patient_upstream: Upstream, mode: str, stream: bool
) -> None:
    tokenhub.rehearse(mode)
    provider = replace(a_provider(model="echo"), health=Health("pending" if stream else "healthy"))

    error = error_of(patient_upstream, f"{tokenhub.url}/v1", provider)

    assert (error or "").startswith(f"HTTP 200: {MODES[mode][stream]}")


@pytest.mark.parametrize("text", ["<think>\nOkay", "<reasoning>", "<|channel|>", "<3", "< 5", "pong", "", "{}", "[1]"])
def test_accepts_a_models_text_without_usage(patient_upstream: Upstream, serve: Serve, text: str) -> None:
    assert error_of(patient_upstream, serve(always(answer(body=completion(text, usage=None)))).url) is None


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html><title>Sign in</title>",
        "<h1>502 Bad Gateway</h1>",
        "<Error><Code>AccessDenied</Code></Error>",
        "<!-- nginx --><html>",
        '{"error": "cut of',
        '{"error": {"message": "no"}} {"error": {}}',
        '{"type": "error", "error": {"message": "no"}}',
    ],
)
def test_rejects_a_providers_error_sent_as_a_models_text(patient_upstream: Upstream, serve: Serve, text: str) -> None:
    error = error_of(patient_upstream, serve(always(answer(body=completion(text, usage=None)))).url)

    assert "The answer wraps an error of a model's provider" in (error or "")
