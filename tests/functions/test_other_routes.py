"""The routes of /v1 that TokenHub does not serve, and the Anthropic routes, whose clients send x-api-key."""

import json
from typing import Any

import pytest

from tests.functions.conftest import Context, Load, event
from tests.scripted_server import ScriptedServer, always, answer

UNSERVED = {
    "model": "/v1/models/openai%2Fgpt-4o",
    "legacy_completion": "/v1/completions",
    "count_tokens": "/v1/messages/count_tokens",
    "anthropic_count_tokens": "/v1/messages/count_tokens",
    "anthropic_model": "/v1/models/claude-sonnet-4-6",
}
FORWARDED = UNSERVED | {
    "responses": "/v1/responses",
    "anthropic_messages": "/v1/messages",
    "anthropic_models": "/v1/models",
}
ANTHROPIC = {"count_tokens", *(name for name in FORWARDED if name.startswith("anthropic_"))}


@pytest.fixture
def forward(load: Load) -> Any:
    app = load("completions")

    def call(name: str, **changes: Any) -> tuple[int, dict[str, Any]]:
        reply = app.handler(event(name, **changes), Context())
        return reply["statusCode"], json.loads(reply["body"])

    return call


@pytest.mark.parametrize("name", FORWARDED)
def test_forwards_each_route_to_its_path(register: Any, forward: Any, name: str) -> None:
    with ScriptedServer(always(answer(body=b'{"id": "x"}'))) as provider:
        register(endpoint=provider.url)
        assert forward(name) == (200, {"id": "x"})

        assert provider.requests[-1].target == FORWARDED[name]
        assert provider.requests[-1].method == event(name)["httpMethod"]
        assert "a-client-token" not in str(vars(provider.requests[-1]))


@pytest.mark.parametrize("name", UNSERVED)
def test_keeps_the_404_of_tokenhub_on_unserved_routes(register: Any, forward: Any, name: str) -> None:
    register()

    status, body = forward(name)

    assert (status, body["error"]["code"]) == (404, "provider_path_unknown")
    assert body["type"] == "error"


def test_serves_responses_over_the_chat_completions_of_tokenhub(register: Any, forward: Any) -> None:
    register()

    status, body = forward("responses")

    assert (status, body["object"], body["status"]) == (200, "response", "completed")
    assert body["output"][0]["type"] == "message"


@pytest.mark.parametrize("name", sorted(ANTHROPIC))
def test_errors_have_the_shape_that_anthropic_clients_read(forward: Any, name: str) -> None:
    status, body = forward(name)

    assert (status, body["type"], body["error"]["code"]) == (503, "error", "no_provider")


@pytest.mark.parametrize("name", ["legacy_completion", "responses", "count_tokens", "anthropic_messages"])
def test_adds_the_registered_model(register: Any, forward: Any, name: str) -> None:
    with ScriptedServer(always(answer(body=b"{}"))) as provider:
        register(endpoint=provider.url, model="registered")
        forward(name, body="{}")

        assert provider.requests[-1].json()["model"] == "registered"


@pytest.mark.parametrize("model", ["../../admin", "..%2f..%2fadmin", "..%252fadmin", "a\\b", ""])
def test_sends_nothing_for_a_model_that_leaves_the_endpoint(register: Any, forward: Any, model: str) -> None:
    with ScriptedServer(always(answer(body=b"{}"))) as provider:
        register(endpoint=provider.url)
        status, body = forward("model", pathParameters={"model": model})

        assert (status, body["error"]["code"], body["error"]["param"]) == (400, "invalid_request", "model")
        assert provider.requests == []


def test_logs_the_path_under_anthropic(register: Any, forward: Any, caplog: pytest.LogCaptureFixture) -> None:
    register()

    forward("anthropic_messages")

    assert [vars(record)["path"] for record in caplog.records if record.message == "request"] == [
        "/anthropic/v1/messages"
    ]


@pytest.mark.parametrize("model", ["openai/gpt-4o", "../admin"])
def test_logs_the_route_and_not_the_path(
    register: Any, forward: Any, caplog: pytest.LogCaptureFixture, model: str
) -> None:
    register()

    forward("model", pathParameters={"model": model})

    assert [vars(record)["path"] for record in caplog.records if record.message == "request"] == ["/models/{model+}"]
