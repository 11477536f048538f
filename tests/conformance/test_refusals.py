"""TokenHub's own refusals (docs/tokenhub.md, 1.1, 1.2 and 1.4)."""

from typing import Any

import httpx
import pytest

from tests.conformance.hub import Hub, Refusal
from tests.rehearsal import chat_body

CHAT = "/v1/chat/completions"
POST_ROUTES = (CHAT, "/v1/chat", "/v1/messages", "/v1/embeddings", "/v1/plan")


def assert_plain_refusal(answer: httpx.Response, status: int, text: str) -> None:
    assert (answer.status_code, answer.text) == (status, f"{text}\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "x-negotiated-model" not in answer.headers


@pytest.mark.parametrize("path", POST_ROUTES)
@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, "authorization required"),
        ({"Authorization": "Bearer sk-other"}, "invalid api key format"),
        ({"Authorization": "Bearer tokenhub_wrong"}, "invalid api key"),
        ({"x-api-key": "tokenhub_wrong"}, "invalid api key"),
    ],
)
def test_rejects_a_missing_or_wrong_key(
    client_without_key: httpx.Client, path: str, headers: dict[str, str], text: str
) -> None:
    answer = client_without_key.post(path, json=chat_body(stream=True), headers=headers)

    assert_plain_refusal(answer, 401, text)


def test_reads_x_api_key_without_a_bearer_token(hub: Hub, client_without_key: httpx.Client) -> None:
    headers = {"Authorization": "Basic x", "x-api-key": hub.key}
    answer = client_without_key.post(CHAT, json=chat_body(model=hub.models.openai), headers=headers)

    assert answer.status_code == 200


def test_scope_refusal_names_no_scope(hub: Hub, client_without_key: httpx.Client) -> None:
    key = {"Authorization": f"Bearer {hub.refused_key(Refusal.SCOPE)}"}

    assert_plain_refusal(client_without_key.post(CHAT, json=chat_body(), headers=key), 403, "insufficient scope")


def test_budget_refusal_has_both_amounts_and_no_retry_after(hub: Hub, client_without_key: httpx.Client) -> None:
    key = {"Authorization": f"Bearer {hub.refused_key(Refusal.BUDGET)}"}
    answer = client_without_key.post(CHAT, json=chat_body(), headers=key)

    assert (answer.status_code, answer.headers["content-type"]) == (429, "application/json")
    assert list(answer.json()) == ["budget_usd", "error", "spent_usd"]
    assert answer.json()["error"] == "monthly budget exceeded"
    assert not {"x-negotiated-model", "retry-after"} & set(answer.headers)


def test_rate_limit_of_a_key_is_retryable_after_a_second(hub: Hub, client_without_key: httpx.Client) -> None:
    key = {"Authorization": f"Bearer {hub.refused_key(Refusal.RATE)}"}
    answers = [client_without_key.post(CHAT, json=chat_body(), headers=key) for _ in range(10)]
    refused = [answer for answer in answers if answer.status_code == 429]

    assert_plain_refusal(refused[0], 429, "api key rate limit exceeded")
    assert refused[0].headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/responses"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/messages/count_tokens"),
        ("GET", "/v1/models/gpt-4o"),
        ("GET", "/v1/models/anthropic/claude-sonnet-4-20250514"),
        ("POST", "/v1/chat/completions/"),
    ],
)
def test_unknown_path_is_a_404_in_plain_text(client: httpx.Client, method: str, path: str) -> None:
    assert_plain_refusal(client.request(method, path), 404, "404 page not found")


@pytest.mark.parametrize(("method", "path", "allowed"), [("GET", CHAT, "POST"), ("POST", "/v1/models", "GET")])
def test_wrong_method_is_a_405_without_a_body(client: httpx.Client, method: str, path: str, allowed: str) -> None:
    answer = client.request(method, path)

    assert (answer.status_code, answer.content, answer.headers["allow"]) == (405, b"", allowed)


def openai_error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": None}}


EMPTY_BODY = "invalid JSON: unexpected end of JSON input"
EMPTY_MESSAGE = {"type": "error", "error": {"type": "invalid_request_error", "message": EMPTY_BODY}}
OVER_10_MB = b" " * (10 * 1024 * 1024 + 1)


@pytest.mark.parametrize(
    ("path", "content", "body"),
    [
        (CHAT, b"", openai_error("invalid JSON: EOF")),
        (CHAT, b'{"model":"x"}', openai_error("messages is required")),
        (CHAT, b'{"messages":[]}', openai_error("messages is required")),
        pytest.param(
            CHAT, OVER_10_MB, openai_error("invalid JSON: http: request body too large"), id="chat over 10 MB"
        ),
        pytest.param("/v1/messages", OVER_10_MB, EMPTY_MESSAGE, id="messages over 10 MB"),
        ("/v1/chat", b"", {"error": "bad json"}),
        ("/v1/chat", b"{}", {"error": "messages required"}),
        ("/v1/plan", b"nonsense", {"error": "bad json"}),
        ("/v1/embeddings", b"", {"error": EMPTY_BODY}),
        ("/v1/messages", b"", EMPTY_MESSAGE),
    ],
)
def test_rejects_bad_input_in_the_shape_of_its_route(
    client: httpx.Client, path: str, content: bytes, body: dict[str, Any]
) -> None:
    answer = client.post(path, content=content)

    assert (answer.status_code, answer.json()) == (400, body)
    assert answer.headers["content-type"] == "application/json"
    assert "x-negotiated-model" not in answer.headers
