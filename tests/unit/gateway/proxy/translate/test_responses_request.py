"""Requests for OpenAI's Responses as requests for chat completions."""

from typing import Any

import pytest

from gateway.core.errors import InvalidRequest
from gateway.core.request_errors import UnsupportedParameter
from gateway.proxy.translate.responses_request import translate_request
from tests.unit.gateway.responses import ASK, CUSTOM, FUNCTION, NAMESPACE, SEARCH, TOOLS, Json


def chat(**request: Any) -> Json:
    return translate_request(ASK | request).chat


def names(body: Json) -> list[str]:
    return [tool["function"]["name"] for tool in body["tools"]]


def test_a_text_becomes_a_user_message() -> None:
    assert chat() == {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}


def test_instructions_become_the_first_message() -> None:
    assert chat(instructions="Be brief.")["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("temperature", 0.0, {"temperature": 0.0}),
        ("top_p", 0.5, {"top_p": 0.5}),
        ("max_output_tokens", 9, {"max_tokens": 9}),
        ("user", "ann", {"user": "ann"}),
        ("service_tier", "flex", {"service_tier": "flex"}),
        ("reasoning", {"effort": "low", "summary": "auto"}, {"reasoning_effort": "low"}),
        ("reasoning", {"effort": None}, {}),
        ("reasoning", "low", {}),
        ("text", {"verbosity": "low"}, {"verbosity": "low"}),
        ("text", {"format": {"type": "text"}}, {}),
        ("text", {"format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
        ("stream", True, {"stream": True, "stream_options": {"include_usage": True}}),
        ("stream", False, {}),
        # These do not change the answer, or only OpenAI's own servers know them.
        ("store", True, {}),
        ("include", ["reasoning.encrypted_content"], {}),
        ("prompt_cache_key", "k", {}),
        ("client_metadata", {"a": "b"}, {}),
        ("metadata", {"a": "b"}, {}),
        ("truncation", "auto", {}),
        ("background", False, {}),
        ("previous_response_id", None, {}),
        # Chat completions reject these without tools.
        ("tool_choice", "auto", {}),
        ("parallel_tool_calls", False, {}),
        ("tools", [], {}),
        ("tools", None, {}),
    ],
)
def test_translates_each_field(field: str, value: object, expected: Json) -> None:
    assert {name: content for name, content in chat(**{field: value}).items() if name not in chat()} == expected


def test_a_json_schema_becomes_the_response_format() -> None:
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}

    body = chat(text={"format": {"type": "json_schema", "description": None} | schema})

    assert body["response_format"] == {"type": "json_schema", "json_schema": schema}


def test_function_tools_become_chat_tools() -> None:
    tool = FUNCTION | {"description": "Looks up.", "strict": True}

    [function] = chat(tools=[tool])["tools"]

    expected = {name: tool[name] for name in ("name", "description", "parameters", "strict")}
    assert function == {"type": "function", "function": expected}
    assert "strict" not in chat(tools=[FUNCTION | {"strict": False}])["tools"][0]["function"]


def test_a_custom_tool_becomes_a_function_with_one_text() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}

    [function] = chat(tools=[CUSTOM | {"format": grammar}])["tools"]

    assert function["function"]["parameters"]["required"] == ["input"]
    assert function["function"]["description"].startswith("Changes a file.")
    assert function["function"]["description"].endswith("must match this lark grammar:\nstart: /x/")


def test_a_search_for_tools_by_the_client_becomes_a_function() -> None:
    [function] = chat(tools=[SEARCH])["tools"]

    expected = {"name": "tool_search", "description": "Finds tools.", "parameters": SEARCH["parameters"]}
    assert function == {"type": "function", "function": expected}


def test_sends_one_tool_of_each_name() -> None:
    assert names(chat(tools=[FUNCTION, SEARCH, FUNCTION])) == ["look_up", "tool_search"]


def test_the_functions_of_a_namespace_have_its_name_in_front() -> None:
    long = {"type": "namespace", "name": "n" * 60, "tools": [FUNCTION, FUNCTION | {"name": "other"}]}

    first, *shortened = names(chat(tools=[NAMESPACE, long]))

    assert first == "agents__spawn"
    assert [len(name) for name in shortened] == [64, 64]
    assert shortened[0] != shortened[1]


def test_tools_with_colliding_names_get_different_chat_names() -> None:
    plain, custom = FUNCTION | {"name": "agents__spawn"}, CUSTOM | {"name": "agents__spawn"}
    tools = [plain, NAMESPACE, custom, FUNCTION | {"name": "tool_search"}, SEARCH]
    calls = [
        {"type": "function_call", "call_id": "1", "name": "spawn", "namespace": "agents", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "2", "name": "agents__spawn", "input": ""},
        {"type": "tool_search_call", "call_id": "3", "arguments": {}},
    ]

    translated = translate_request(ASK | {"tools": tools, "input": calls, "tool_choice": {"type": "custom"} | custom})

    sent = names(translated.chat)
    assert len(set(sent)) == len(tools)
    assert sent[0] == "agents__spawn"
    assert [call["function"]["name"] for call in translated.chat["messages"][0]["tool_calls"]] == [*sent[1:3], sent[4]]
    assert translated.chat["tool_choice"]["function"]["name"] == sent[2]
    called = [translated.tools.called(name) for name in sent]
    assert [(tool.kind, tool.namespace, tool.name) for tool in called] == [
        ("function", None, "agents__spawn"),
        ("function", "agents", "spawn"),
        ("custom", None, "agents__spawn"),
        ("function", None, "tool_search"),
        ("tool_search", None, "tool_search"),
    ]


def test_a_reference_of_another_kind_names_the_tool() -> None:
    body = chat(tools=[CUSTOM], tool_choice={"type": "function", "name": "patch"})

    assert body["tool_choice"]["function"]["name"] == "patch"


def test_additional_tools_are_tools() -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": [NAMESPACE]}

    body = chat(input=[item, {"role": "user", "content": "Hello"}], tool_choice="auto")

    assert (names(body), body["tool_choice"]) == (["agents__spawn"], "auto")
    assert [message["role"] for message in body["messages"]] == ["user"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "look_up"}, {"type": "function", "function": {"name": "look_up"}}),
        ({"type": "custom", "name": "patch"}, {"type": "function", "function": {"name": "patch"}}),
    ],
)
def test_translates_the_tool_choice(choice: object, expected: object) -> None:
    assert chat(tools=TOOLS, tool_choice=choice)["tool_choice"] == expected


def test_allowed_tools_leave_the_other_tools_out() -> None:
    allowed = [{"type": "function", "name": "look_up"}, {"type": "function", "name": "spawn", "namespace": "agents"}]

    body = chat(tools=TOOLS, tool_choice={"type": "allowed_tools", "mode": "required", "tools": allowed})

    assert (names(body), body["tool_choice"]) == (["look_up", "agents__spawn"], "required")


def test_allowed_tools_may_be_called_by_default() -> None:
    allowed = {"type": "allowed_tools", "tools": [{"type": "function", "name": "look_up"}]}

    assert chat(tools=TOOLS, tool_choice=allowed)["tool_choice"] == "auto"


def test_the_response_repeats_the_fields_of_the_request_and_the_defaults_of_the_others() -> None:
    request = {"instructions": "Be brief.", "temperature": 0.0, "tools": [FUNCTION], "tool_choice": None}

    assert translate_request(ASK | request).repeated == {
        "instructions": "Be brief.",
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": None,
        "temperature": 0.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [FUNCTION],
        "top_p": None,
        "truncation": "disabled",
        "user": None,
    }


def test_sends_parallel_tool_calls_only_to_forbid_them() -> None:
    assert "parallel_tool_calls" not in chat(tools=TOOLS, parallel_tool_calls=True)
    assert chat(tools=TOOLS, parallel_tool_calls=False)["parallel_tool_calls"] is False


@pytest.mark.parametrize(
    ("fields", "param", "remedy"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "Send the whole conversation in input."),
        ({"conversation": "conv_1"}, "conversation", "Send the whole conversation in input."),
        ({"background": True}, "background", "set stream to true"),
        ({"prompt": {"id": "p"}}, "prompt", "instructions and input"),
        ({"moderation": {"model": "m"}}, "moderation", "moderation API"),
        ({"top_logprobs": 2}, "top_logprobs", "/v1/chat/completions"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", 'web_search = "disabled"'),
        ({"tools": [{"type": "code_interpreter"}]}, "tools[0].type", "no tool code_interpreter"),
        ({"tools": [{"type": "tool_search"}]}, "tools[0].type", "no tool tool_search"),
        ({"tools": [{"type": "Secret text"}]}, "tools[0].type", "no tool of this type"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice", "no tool file_search"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type", "text format"),
    ],
)
def test_rejects_fields_that_only_openai_supports(fields: Json, param: str, remedy: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        translate_request(ASK | fields)

    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "unsupported_parameter", param)
    assert remedy in caught.value.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 7}, "input"),
        ({"instructions": ["a"]}, "instructions"),
        ({"tools": "look_up"}, "tools"),
        ({"tools": ["look_up"]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tools": [NAMESPACE | {"tools": 5}]}, "tools[0].tools"),
        ({"tools": [CUSTOM | {"description": 5}]}, "tools[0].description"),
        ({"tools": [FUNCTION | {"description": 5}]}, "tools[0].description"),
        ({"tool_choice": 7}, "tool_choice"),
        ({"stream": "yes"}, "stream"),
        ({"text": {"format": "json_schema"}}, "text.format"),
    ],
)
def test_rejects_invalid_fields(fields: Json, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        translate_request(ASK | fields)

    assert (caught.value.code, caught.value.param) == ("invalid_request", param)
