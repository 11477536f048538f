"""Whole chat completions as Responses."""

import pytest

from gateway.core.answer_errors import NotACompletion
from tests.unit.gateway.responses import USAGE, Json, builder, read_response

CALL: Json = {"id": "a", "type": "function", "function": {"name": "look_up", "arguments": '{"x": 1}'}}


def whole(message: Json, finish_reason: str = "stop", **fields: object) -> Json:
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": finish_reason}
    return read_response(builder().whole({"id": "c", "model": "served", "choices": [choice], **fields}))


def test_translates_a_text() -> None:
    response = whole({"content": "Grüße"}, usage=USAGE)

    assert (response["object"], response["status"], response["model"]) == ("response", "completed", "served")
    assert response["usage"]["total_tokens"] == 7
    [message] = response["output"]
    assert (message["status"], message["content"][0]["text"]) == ("completed", "Grüße")


def test_translates_reasoning_text_and_calls_in_this_order() -> None:
    second = CALL | {"id": "b", "function": {"name": "patch", "arguments": '{"input": "p"}'}}

    output = whole({"content": "I look.", "reasoning_content": "r", "tool_calls": [CALL, second]}, "tool_calls")[
        "output"
    ]

    assert [item["type"] for item in output] == ["reasoning", "message", "function_call", "custom_tool_call"]
    assert (output[2]["call_id"], output[2]["arguments"], output[3]["input"]) == ("a", '{"x": 1}', "p")


def test_a_cut_answer_is_incomplete() -> None:
    response = whole({"content": "Half"}, "length")

    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert response["output"][0]["status"] == "incomplete"


def test_the_request_names_the_model_if_the_answer_does_not() -> None:
    assert whole({"content": "a"}, model=None)["model"] == "gpt"


@pytest.mark.parametrize("completion", [{}, {"choices": []}, {"choices": [{"text": "a"}]}, {"object": "list"}])
def test_rejects_answers_that_are_not_completions(completion: Json) -> None:
    with pytest.raises(NotACompletion):
        builder().whole(completion)
