from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.rehearsal import KEY, RunningTokenHub, chat_body

CHAT = "/v1/chat/completions"
TEXT = "Grüße aus Zürich, 東京 und 🚀 im All"


def test_openai_sdk_receives_text_and_usage(tokenhub: RunningTokenHub) -> None:
    with openai.OpenAI(base_url=f"{tokenhub.url}/v1", api_key=KEY) as sdk:
        answer = sdk.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": TEXT}], extra_headers={"X-Request-ID": "r-1"}
        )

    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.id == "chatcmpl-r-1"
    assert answer.model == "gpt-4o"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens == 16


def test_openai_sdk_lists_models_and_embeds(tokenhub: RunningTokenHub) -> None:
    with openai.OpenAI(base_url=f"{tokenhub.url}/v1", api_key=KEY) as sdk:
        names = [model.id for model in sdk.models.list()]
        vectors = sdk.embeddings.create(model="text-embedding-3-small", input=["one", "two"]).data

    assert "echo" in names
    assert vectors[0].embedding != vectors[1].embedding


def test_anthropic_sdk_receives_a_message_and_a_stream(tokenhub: RunningTokenHub) -> None:
    with anthropic.Anthropic(base_url=tokenhub.url, auth_token=KEY, api_key=None) as sdk:
        messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": TEXT}]
        message = sdk.messages.create(model="claude-sonnet-4-6", max_tokens=64, messages=messages)
        with sdk.messages.stream(model="claude-sonnet-4-6", max_tokens=64, messages=messages) as stream:
            streamed = list(stream.text_stream)
            final = stream.get_final_message()

    assert message.content[0].type == "text"
    assert message.content[0].text == TEXT
    assert "".join(streamed) == TEXT
    assert len(streamed) == 8
    assert final.stop_reason == "end_turn"


def test_anthropic_sdk_sends_its_api_key_as_a_bearer_token(tokenhub: RunningTokenHub) -> None:
    with anthropic.Anthropic(base_url=tokenhub.url, api_key=KEY) as sdk:
        sdk.messages.create(model="claude-sonnet-4-6", max_tokens=1, messages=[{"role": "user", "content": "a b"}])

    assert tokenhub.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert tokenhub.requests[0].status == 200


def test_max_tokens_truncates_with_finish_reason_length(client: httpx.Client) -> None:
    choice = client.post(CHAT, json=chat_body("one two three", max_tokens=2)).json()["choices"][0]

    assert (choice["message"]["content"], choice["finish_reason"]) == ("one two", "length")


def test_joins_text_parts_and_drops_images(client: httpx.Client) -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    answer = client.post(CHAT, json={"messages": [{"role": "user", "content": parts}]}).json()

    assert answer["choices"][0]["message"]["content"] == "look"


@pytest.mark.parametrize(
    ("fields", "serving_model", "alias"),
    [
        ({"model": "gpt-4o"}, "gpt-4o", None),
        ({}, "echo", None),
        ({"model": "*"}, "echo", None),
        ({"model": "fast"}, "gpt-4o-mini", "fast"),
        ({"model": "unheard-of"}, "echo", None),
        ({"model": "rehearse/normal"}, "rehearse/normal", None),
        ({"model": "rehearse/other_model"}, "gpt-4o-mini", None),
    ],
)
def test_names_the_serving_model(
    client: httpx.Client, fields: dict[str, str], serving_model: str, alias: str | None
) -> None:
    answer = client.post(CHAT, json={"messages": [{"role": "user", "content": "hi"}], **fields})

    assert (answer.headers["x-negotiated-model"], answer.json()["model"]) == (serving_model, serving_model)
    assert answer.headers.get("x-alias-from") == alias


def test_own_chat_route_sends_json_as_text_plain(client: httpx.Client) -> None:
    answer = client.post("/v1/chat", json={"request": chat_body()})

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.json()["negotiated_model"] == "echo"
    assert answer.json()["response"]["choices"][0]["message"]["content"] == TEXT


def test_only_the_own_chat_route_forwards_stream_options(client: httpx.Client) -> None:
    options = {"include_usage": True}
    own = chat_body(stream=True, parameters={"stream_options": options})

    assert '"usage"' in client.post("/v1/chat", json={"request": own}).text
    assert '"usage"' not in client.post(CHAT, json=chat_body(stream=True, stream_options=options)).text


def test_plan_never_streams(client: httpx.Client) -> None:
    answer = client.post("/v1/plan", json={"request": chat_body(stream=True), "orchestration": {"mode": "vote"}})

    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["response"]["choices"][0]["message"]["content"] == TEXT


def test_healthz_and_models_need_no_key(client_without_key: httpx.Client) -> None:
    assert client_without_key.get("/healthz").json() == {"adapters": 3, "models": 6, "status": "ok"}
    assert client_without_key.get("/v1/models").json()["data"][0] == {
        "id": "echo",
        "object": "model",
        "owned_by": "rehearsal",
    }


@pytest.mark.parametrize(
    ("path", "body", "shape"),
    [
        (CHAT, b"", {"error": {"message": "invalid JSON: EOF", "type": "invalid_request_error", "code": None}}),
        (
            CHAT,
            b'{"model":"x"}',
            {"error": {"message": "messages is required", "type": "invalid_request_error", "code": None}},
        ),
        ("/v1/chat", b"{}", {"error": "messages required"}),
        ("/v1/plan", b"nonsense", {"error": "bad json"}),
        ("/v1/embeddings", b"", {"error": "invalid JSON: unexpected end of JSON input"}),
        (
            "/v1/messages",
            b"",
            {
                "type": "error",
                "error": {"type": "invalid_request_error", "message": "invalid JSON: unexpected end of JSON input"},
            },
        ),
    ],
)
def test_rejects_bad_input_in_each_routes_error_shape(
    client: httpx.Client, path: str, body: bytes, shape: dict[str, Any]
) -> None:
    answer = client.post(path, content=body)

    assert (answer.status_code, answer.json()) == (400, shape)


def test_escapes_html_in_json_like_go(client: httpx.Client) -> None:
    answer = client.post(CHAT, json=chat_body("<b>&"))

    assert rb"\u003cb\u003e\u0026" in answer.content
    assert answer.json()["choices"][0]["message"]["content"] == "<b>&"
