"""The routes of /v1 that TokenHub does not serve, and the face for clients that send x-api-key."""

import json
from typing import Any

import pytest

from tests.functions.conftest import Context, Load, event
from tests.scripted_server import ScriptedServer, always, answer

UNSERVED = {
    "model": "/v1/models/openai%2Fgpt-4o",
    "legacy_completion": "/v1/completions",
    "responses": "/v1/responses",
    "count_tokens": "/v1/messages/count_tokens",
}


@pytest.fixture
def forward(load: Load) -> Any:
    app = load("completions")

    def call(name: str, **changes: Any) -> tuple[int, dict[str, Any]]:
        reply = app.handler(event(name, **changes), Context())
        return reply["statusCode"], json.loads(reply["body"])

    return call


@pytest.mark.parametrize("name", UNSERVED)
def test_forwards_each_route_to_its_path(register: Any, forward: Any, name: str) -> None:
    with ScriptedServer(always(answer(body=b'{"id": "x"}'))) as provider:
        register(endpoint=provider.url)
        assert forward(name) == (200, {"id": "x"})

        assert provider.requests[-1].target == UNSERVED[name]
        assert provider.requests[-1].method == event(name)["httpMethod"]


@pytest.mark.parametrize("name", UNSERVED)
def test_keeps_the_404_of_tokenhub_on_unserved_routes(register: Any, forward: Any, name: str) -> None:
    register()

    status, body = forward(name)

    assert (status, body["error"]["code"]) == (404, "provider_path_unknown")
    assert body.get("type") == ("error" if name == "count_tokens" else None)


@pytest.mark.parametrize("name", ["legacy_completion", "responses", "count_tokens"])
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


@pytest.mark.parametrize("model", ["openai/gpt-4o", "../admin"])
def test_logs_the_route_and_not_the_path(
    register: Any, forward: Any, caplog: pytest.LogCaptureFixture, model: str
) -> None:
    register()

    forward("model", pathParameters={"model": model})

    assert [vars(record)["path"] for record in caplog.records if record.message == "request"] == ["/models/{model+}"]
