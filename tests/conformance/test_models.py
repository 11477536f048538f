"""Which model answers, and the list of models (docs/tokenhub.md, 1.1 and 2.1)."""

import httpx
import pytest

from tests.conformance.hub import Hub
from tests.rehearsal import chat_body

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/v1/messages"])
def test_prefixed_name_selects_the_same_model(hub: Hub, client: httpx.Client, path: str) -> None:
    models = {CHAT: hub.models.openai, "/v1/embeddings": hub.models.embedding, "/v1/messages": hub.models.anthropic}
    body = chat_body(model=f"any-prefix/{models[path]}", input="x", max_tokens=64)
    answer = client.post(path, json=body)

    assert answer.status_code == 200
    assert answer.headers["x-negotiated-model"] == models[path]
    assert hub.forwarded()["model"] == models[path]


@pytest.mark.parametrize("stream", [False, True])
def test_unknown_model_is_replaced_by_another(hub: Hub, client: httpx.Client, stream: bool) -> None:
    answer = client.post(CHAT, json=chat_body(model="no-such-model", stream=stream))

    assert answer.status_code == 200
    assert answer.headers["x-negotiated-model"] in listed_models(client)
    assert hub.forwarded()["model"] == answer.headers["x-negotiated-model"]
    assert "x-alias-from" not in answer.headers


@pytest.mark.parametrize("fields", [{}, {"model": ""}, {"model": "*"}])
@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/v1/messages"])
def test_request_without_a_model_is_served_by_any(
    hub: Hub, client: httpx.Client, path: str, fields: dict[str, str]
) -> None:
    message = {"role": "user", "content": "hi"}
    answer = client.post(path, json={"messages": [message], "input": "x", "max_tokens": 64, **fields})

    # An Anthropic model cannot embed, and an OpenAI model cannot answer /v1/messages.
    assert answer.status_code in (200, 404, 503)
    assert answer.status_code == 200 or path != CHAT
    assert answer.headers.get("x-negotiated-model", hub.models.openai) in listed_models(client)


def test_unknown_embedding_model_is_a_404(hub: Hub, client: httpx.Client) -> None:
    answer = client.post("/v1/embeddings", json={"model": "no-such-model", "input": "x"})

    assert (answer.status_code, answer.json()) == (404, {"error": "model not found: no-such-model"})
    assert "x-negotiated-model" not in answer.headers


def test_anthropic_model_cannot_embed(hub: Hub, client: httpx.Client) -> None:
    answer = client.post("/v1/embeddings", json={"model": hub.models.anthropic, "input": "x"})

    assert (answer.status_code, answer.json()) == (503, {"error": "provider does not support embeddings"})


@pytest.mark.parametrize("stream", [False, True])
def test_alias_is_named_beside_the_model(hub: Hub, client: httpx.Client, stream: bool) -> None:
    answer = client.post(CHAT, json=chat_body(model=hub.models.alias, stream=stream))

    assert answer.headers["x-alias-from"] == hub.models.alias
    assert answer.headers["x-negotiated-model"] == hub.models.alias_target


def listed_models(client: httpx.Client) -> list[str]:
    return [model["id"] for model in client.get("/v1/models").json()["data"]]


def test_model_list_needs_no_key_and_names_the_provider(hub: Hub, client_without_key: httpx.Client) -> None:
    answer = client_without_key.get("/v1/models")

    [listed] = [model for model in answer.json()["data"] if model["id"] == hub.models.openai]
    assert (answer.json()["object"], answer.headers["content-type"]) == ("list", "application/json")
    assert (listed["object"], listed["owned_by"]) == ("model", hub.models.provider)
    assert "created" not in listed


def test_health_counts_adapters_and_models(hub: Hub, client_without_key: httpx.Client) -> None:
    answer = client_without_key.get("/healthz")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["status"] == "ok"
    assert answer.json()["adapters"] >= 2
    assert answer.json()["models"] >= 3
