from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.rehearsal import KEY, RunningTokenHub, ask

CHAT = "/v1/chat/completions"
SAID = "Grüße aus Zürich, 東京 und 🚀 im All"


def test_the_openai_sdk_gets_its_words_back_with_usage(tokenhub: RunningTokenHub) -> None:
    with openai.OpenAI(base_url=f"{tokenhub.url}/v1", api_key=KEY) as sdk:
        answer = sdk.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": SAID}], extra_headers={"X-Request-ID": "r-1"}
        )

    assert answer.choices[0].message.content == SAID
    assert answer.choices[0].finish_reason == "stop"
    assert answer.id == "chatcmpl-r-1"
    assert answer.model == "gpt-4o"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens == 16


def test_the_openai_sdk_lists_models_and_embeds(tokenhub: RunningTokenHub) -> None:
    with openai.OpenAI(base_url=f"{tokenhub.url}/v1", api_key=KEY) as sdk:
        names = [model.id for model in sdk.models.list()]
        vectors = sdk.embeddings.create(model="text-embedding-3-small", input=["one", "two"]).data

    assert "echo" in names
    assert vectors[0].embedding != vectors[1].embedding


def test_the_anthropic_sdk_gets_a_message_and_a_stream(tokenhub: RunningTokenHub) -> None:
    with anthropic.Anthropic(base_url=tokenhub.url, auth_token=KEY, api_key=None) as sdk:
        said: list[anthropic.types.MessageParam] = [{"role": "user", "content": SAID}]
        message = sdk.messages.create(model="claude-sonnet-4-6", max_tokens=64, messages=said)
        with sdk.messages.stream(model="claude-sonnet-4-6", max_tokens=64, messages=said) as stream:
            streamed = list(stream.text_stream)
            final = stream.get_final_message()

    assert message.content[0].type == "text"
    assert message.content[0].text == SAID
    assert "".join(streamed) == SAID
    assert len(streamed) == 8
    assert final.stop_reason == "end_turn"


def test_the_anthropic_sdk_sends_its_api_key_as_a_bearer_token(tokenhub: RunningTokenHub) -> None:
    with anthropic.Anthropic(base_url=tokenhub.url, api_key=KEY) as sdk:
        sdk.messages.create(model="claude-sonnet-4-6", max_tokens=1, messages=[{"role": "user", "content": "a b"}])

    assert tokenhub.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert tokenhub.requests[0].status == 200


def test_max_tokens_cuts_the_answer_with_length(client: httpx.Client) -> None:
    choice = client.post(CHAT, json=ask("one two three", max_tokens=2)).json()["choices"][0]

    assert (choice["message"]["content"], choice["finish_reason"]) == ("one two", "length")


def test_content_parts_are_joined_and_images_dropped(client: httpx.Client) -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    answer = client.post(CHAT, json={"messages": [{"role": "user", "content": parts}]}).json()

    assert answer["choices"][0]["message"]["content"] == "look"


@pytest.mark.parametrize(
    ("asked", "served", "alias"),
    [
        ({"model": "gpt-4o"}, "gpt-4o", None),
        ({}, "echo", None),
        ({"model": "*"}, "echo", "*"),
        ({"model": "fast"}, "gpt-4o-mini", "fast"),
        ({"model": "unheard-of"}, "echo", None),
        ({"model": "rehearse/normal"}, "rehearse/normal", None),
        ({"model": "rehearse/other_model"}, "gpt-4o-mini", None),
    ],
)
def test_the_model_that_serves_is_named(
    client: httpx.Client, asked: dict[str, str], served: str, alias: str | None
) -> None:
    answer = client.post(CHAT, json={"messages": [{"role": "user", "content": "hi"}], **asked})

    assert (answer.headers["x-negotiated-model"], answer.json()["model"]) == (served, served)
    assert answer.headers.get("x-alias-from") == alias


def test_tokenhubs_own_chat_is_json_that_calls_itself_text(client: httpx.Client) -> None:
    answer = client.post("/v1/chat", json={"request": ask()})

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.json()["negotiated_model"] == "echo"
    assert answer.json()["response"]["choices"][0]["message"]["content"] == SAID


def test_only_tokenhubs_own_chat_passes_stream_options_on(client: httpx.Client) -> None:
    options = {"include_usage": True}
    own = ask(stream=True, parameters={"stream_options": options})

    assert '"usage"' in client.post("/v1/chat", json={"request": own}).text
    assert '"usage"' not in client.post(CHAT, json=ask(stream=True, stream_options=options)).text


def test_a_plan_never_streams(client: httpx.Client) -> None:
    answer = client.post("/v1/plan", json={"request": ask(stream=True), "orchestration": {"mode": "vote"}})

    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["response"]["choices"][0]["message"]["content"] == SAID


def test_health_and_models_are_public(stranger: httpx.Client) -> None:
    assert stranger.get("/healthz").json() == {"adapters": 3, "models": 6, "status": "ok"}
    assert stranger.get("/v1/models").json()["data"][0] == {
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
        ("/v1/embeddings", b"{}", {"error": "model is required"}),
        (
            "/v1/messages",
            b"",
            {"type": "error", "error": {"type": "invalid_request_error", "message": "invalid JSON: EOF"}},
        ),
    ],
)
def test_bad_input_is_a_400_in_each_routes_own_shape(
    client: httpx.Client, path: str, body: bytes, shape: dict[str, Any]
) -> None:
    answer = client.post(path, content=body)

    assert (answer.status_code, answer.json()) == (400, shape)


def test_go_escapes_html_in_json(client: httpx.Client) -> None:
    answer = client.post(CHAT, json=ask("<b>&"))

    assert rb"\u003cb\u003e\u0026" in answer.content
    assert answer.json()["choices"][0]["message"]["content"] == "<b>&"
