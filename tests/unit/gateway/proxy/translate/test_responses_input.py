"""Translates input items to chat messages."""

import json

import pytest

from gateway.core.errors import InvalidRequest
from gateway.core.request_errors import UnsupportedParameter
from gateway.proxy.translate.responses_request import translate_request
from tests.unit.gateway.responses import ASK, FUNCTION, NAMESPACE, Json

IMAGE: Json = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
AUDIO: Json = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
CHAT_IMAGE = {"type": "image_url", "image_url": {"url": IMAGE["image_url"], "detail": "low"}}


def messages(*items: object) -> list[Json]:
    result: list[Json] = translate_request(ASK | {"input": list(items)}).chat["messages"]
    return result


def call(call_id: str, **fields: str) -> Json:
    return {"type": "function_call", "call_id": call_id, "name": "look_up", "arguments": "{}"} | fields


def output(call_id: str, content: object = "sunny") -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": content}


def chat_call(call_id: str, name: str = "look_up", arguments: str = "{}") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(call_id: str, content: str = "sunny") -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def text(role: str, content: str) -> Json:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("role", "expected"), [("user", "user"), ("assistant", "assistant"), ("system", "system"), ("developer", "system")]
)
def test_translates_the_roles(role: str, expected: str) -> None:
    assert messages(text(role, "a")) == [text(expected, "a")]


def test_a_message_may_have_no_type() -> None:
    assert messages(text("user", "a") | {"type": None}, text("user", "b")) == [text("user", "a"), text("user", "b")]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "input_text", "text": "a"}, "a"),
        ({"type": "output_text", "text": "a", "annotations": []}, "a"),
        ({"type": "refusal", "refusal": "no"}, "no"),
        (IMAGE, [CHAT_IMAGE]),
        (
            {"type": "input_file", "file_data": "data:x", "filename": "a.pdf"},
            [{"type": "file", "file": {"file_data": "data:x", "filename": "a.pdf"}}],
        ),
        (AUDIO, [AUDIO]),
    ],
)
def test_translates_the_parts(part: Json, expected: object) -> None:
    assert messages({"type": "message", "role": "user", "content": [part]}) == [{"role": "user", "content": expected}]


def test_keeps_several_parts_in_order() -> None:
    parts = [{"type": "input_text", "text": "a"}, IMAGE]

    assert messages({"role": "user", "content": parts})[0]["content"] == [{"type": "text", "text": "a"}, CHAT_IMAGE]


def test_parallel_calls_share_a_message_with_the_text_before_them() -> None:
    assert messages(text("assistant", "I look."), call("1"), call("2"), output("1"), output("2", "rainy")) == [
        text("assistant", "I look.") | {"tool_calls": [chat_call("1"), chat_call("2")]},
        result("1"),
        result("2", "rainy"),
    ]


def test_a_call_after_a_result_starts_a_message() -> None:
    assert messages(call("1"), output("1"), call("2"), output("2")) == [
        {"role": "assistant", "content": None, "tool_calls": [chat_call("1")]},
        result("1"),
        {"role": "assistant", "content": None, "tool_calls": [chat_call("2")]},
        result("2"),
    ]


def test_results_follow_their_calls_at_once() -> None:
    """Chat completions reject a message between a call and its result."""
    items = [call("1"), text("user", "Stop."), call("2"), output("1"), output("2")]

    assert messages(*items) == [
        {"role": "assistant", "content": None, "tool_calls": [chat_call("1")]},
        result("1"),
        text("user", "Stop."),
        {"role": "assistant", "content": None, "tool_calls": [chat_call("2")]},
        result("2"),
    ]


def test_a_text_after_its_calls_joins_their_message() -> None:
    assert messages(call("1"), text("assistant", "I look."), output("1")) == [
        text("assistant", "I look.") | {"tool_calls": [chat_call("1")]},
        result("1"),
    ]


def test_a_text_after_a_result_starts_a_message() -> None:
    assert messages(call("1"), output("1"), text("assistant", "It is sunny.")) == [
        {"role": "assistant", "content": None, "tool_calls": [chat_call("1")]},
        result("1"),
        text("assistant", "It is sunny."),
    ]


def test_two_texts_are_two_messages() -> None:
    assert messages(text("assistant", "a"), text("assistant", "b")) == [text("assistant", "a"), text("assistant", "b")]


def test_a_content_without_parts_is_an_empty_text() -> None:
    assert messages({"role": "user", "content": []}) == [text("user", "")]


def test_drops_reasoning() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}

    assert len(messages(call("1"), reasoning, call("2"))) == 1


def test_custom_calls_become_function_calls() -> None:
    custom = {"type": "custom_tool_call", "call_id": "1", "name": "patch", "input": 'a "b"'}
    sent = messages(custom, output("1") | {"type": "custom_tool_call_output"})

    [function_call] = sent[0]["tool_calls"]
    assert function_call["function"]["name"] == "patch"
    assert json.loads(function_call["function"]["arguments"]) == {"input": 'a "b"'}
    assert sent[1] == result("1")


@pytest.mark.parametrize(
    ("tools", "text"),
    [([FUNCTION, NAMESPACE], "These tools can now be called: look_up, agents__spawn."), ([], "No tool matches.")],
)
def test_a_search_for_tools_adds_the_tools_that_it_loaded(tools: list[Json], text: str) -> None:
    search = {"type": "tool_search_call", "call_id": "1", "execution": "client", "arguments": {"query": "é"}}
    loaded = {"type": "tool_search_output", "call_id": "1", "execution": "client", "tools": tools}

    translated = translate_request(ASK | {"tools": [FUNCTION], "input": [search, loaded]})

    [ask, answer] = translated.chat["messages"]
    assert [call["function"]["name"] for call in ask["tool_calls"]] == ["tool_search"]
    assert json.loads(ask["tool_calls"][0]["function"]["arguments"]) == {"query": "é"}
    assert answer == result("1", text)
    names = [tool["function"]["name"] for tool in translated.chat["tools"]]
    assert names == (["look_up", "agents__spawn"] if tools else ["look_up"])


def test_calls_of_a_namespace_have_its_name_in_front() -> None:
    assert messages(call("1", namespace="agents"))[0]["tool_calls"] == [chat_call("1", "agents__look_up")]


def test_images_of_results_follow_as_a_user_message() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}, IMAGE]

    assert messages(call("1"), call("2"), output("1", parts), output("2"))[1:] == [
        result("1", "a\nb"),
        result("2"),
        {"role": "user", "content": [CHAT_IMAGE]},
    ]


@pytest.mark.parametrize(
    ("item", "param", "remedy"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "input[0]", "providerOptions.openai.store to false"),
        ({"id": "msg_1"}, "input[0]", "providerOptions.openai.store to false"),
        ({"type": None, "id": "msg_1"}, "input[0]", "providerOptions.openai.store to false"),
        ({"type": "web_search_call", "id": "ws_1"}, "input[0].type", "no item web_search_call"),
        (
            {"role": "user", "content": [{"type": "input_file", "file_id": "f"}]},
            "input[0].content[0].file_data",
            "file",
        ),
        (
            {"role": "user", "content": [{"type": "input_image", "file_id": "f"}]},
            "input[0].content[0].image_url",
            "image",
        ),
        ({"role": "user", "content": [{"type": "video"}]}, "input[0].content[0].type", "no part"),
        ({"role": "user", "content": [{"type": []}]}, "input[0].content[0].type", "no part"),
    ],
)
def test_rejects_items_that_only_openai_supports(item: Json, param: str, remedy: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        messages(item)

    assert caught.value.param == param
    assert remedy in caught.value.message


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ("a", "input[0]"),
        ({"role": "robot", "content": "a"}, "input[0].role"),
        ({"role": "user", "content": 7}, "input[0].content"),
        ({"role": "user", "content": [7]}, "input[0].content[0]"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input[0].content[0].text"),
        ({"type": "function_call", "name": "look_up", "arguments": "{}"}, "input[0].call_id"),
        ({"type": "function_call", "call_id": "1", "arguments": "{}"}, "input[0].name"),
        ({"type": "function_call", "call_id": "1", "name": "look_up"}, "input[0].arguments"),
        ({"type": "function_call_output", "call_id": "1", "output": "a"}, "input[0].call_id"),
    ],
)
def test_rejects_invalid_items(item: object, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        messages(item)

    assert (caught.value.code, caught.value.param) == ("invalid_request", param)
