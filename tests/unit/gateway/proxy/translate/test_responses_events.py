"""Streams of chat chunks as the events of OpenAI's Responses."""

import json

import pytest

from gateway.core.errors import ProviderError, StreamTruncated
from gateway.proxy.sse import KEEP_ALIVE
from tests.scripted_server import DONE
from tests.unit.gateway.responses import (
    USAGE,
    Json,
    builder,
    call,
    chunk,
    kinds,
    read_events,
    stream,
    translate,
    usage_chunk,
)

TEXT = stream(chunk({"role": "assistant", "content": ""}), chunk({"content": "Grü"}), chunk({"content": "ße"}))
TEXT_ITEM = [
    "output_item.added",
    "content_part.added",
    "output_text.delta",
    "output_text.delta",
    "output_text.done",
    "content_part.done",
    "output_item.done",
]
START = ["created", "in_progress"]


def response_of(events: list[Json]) -> Json:
    return dict(events[-1]["response"])


def deltas(events: list[Json], kind: str) -> list[str]:
    return [event["delta"] for event in events if event["type"] == f"response.{kind}.delta"]


def test_a_text_has_the_events_of_openai_in_order() -> None:
    events = translate(TEXT)

    assert kinds(events) == [*START, *TEXT_ITEM, "completed"]
    assert deltas(events, "output_text") == ["Grü", "ße"]
    [message] = response_of(events)["output"]
    assert message["content"] == [{"type": "output_text", "text": "Grüße", "annotations": [], "logprobs": []}]
    assert (message["id"], message["status"]) == ("msg_1_0", "completed")


def test_the_response_repeats_the_request_and_reports_the_usage() -> None:
    response = response_of(translate(TEXT))

    assert (response["id"], response["created_at"], response["model"]) == ("resp_1", 7, "served")
    assert (response["status"], response["store"], response["error"]) == ("completed", False, None)
    assert [tool["type"] for tool in response["tools"]] == ["function", "custom", "namespace", "tool_search"]
    assert response["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    }


def test_reports_the_details_of_the_usage() -> None:
    prompt, completion = {"cached_tokens": 2, "cache_write_tokens": 3}, {"reasoning_tokens": 1}
    details = {"prompt_tokens_details": prompt, "completion_tokens_details": completion}

    usage = response_of(translate(chunk({}, "stop"), usage_chunk(USAGE | details), DONE))["usage"]

    assert (usage["input_tokens_details"], usage["output_tokens_details"]) == (prompt, completion)


@pytest.mark.parametrize("later", [{"prompt_tokens": 5}, {"prompt_tokens": "5", "completion_tokens": 5}, "none"])
def test_a_usage_without_counts_never_replaces_one_with_counts(later: object) -> None:
    chunks = chunk({}, "stop"), usage_chunk(), chunk({}, usage=later), DONE

    assert response_of(translate(*chunks))["usage"]["total_tokens"] == 7


def test_the_usage_is_null_if_the_provider_reports_none() -> None:
    assert response_of(translate(chunk({"content": "a"}, "stop"), DONE))["usage"] is None


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_becomes_a_reasoning_item(field: str) -> None:
    events = translate(stream(chunk({field: "I "}), chunk({field: "think."}), chunk({"content": "a"})))

    assert kinds(events)[2:9] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    reasoning, message = response_of(events)["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "I think."}]
    assert message["content"][0]["text"] == "a"


def test_reasoning_under_both_names_is_read_once() -> None:
    [reasoning] = response_of(translate(stream(chunk({"reasoning": "a", "reasoning_content": "a"}))))["output"]

    assert reasoning["summary"][0]["text"] == "a"


def test_a_refusal_is_a_part_of_a_message() -> None:
    events = translate(stream(chunk({"refusal": "No"}), chunk({"refusal": "."})))

    assert deltas(events, "refusal") == ["No", "."]
    assert response_of(events)["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_parallel_tool_calls_may_alternate() -> None:
    events = translate(
        stream(
            chunk(call(0, id="a", name="look_up")),
            chunk(call(1, '{"y"', id="b", name="look_up")),
            chunk(call(0, '{"x":')),
            chunk(call(1, ":2}")),
            chunk(call(0, "1}")),
            finish_reason="tool_calls",
        )
    )

    added, delta = "output_item.added", "function_call_arguments.delta"
    assert kinds(events)[2:8] == [added, added, *[delta] * 4]
    assert kinds(events)[8:] == [*["function_call_arguments.done", "output_item.done"] * 2, "completed"]
    output = response_of(events)["output"]
    assert [(item["call_id"], item["arguments"]) for item in output] == [("a", '{"x":1}'), ("b", '{"y":2}')]


def test_a_text_ends_where_a_tool_call_begins() -> None:
    events = translate(stream(chunk({"content": "I look."}), chunk(call(0, "{}", id="a", name="look_up"))))

    assert kinds(events)[4:9] == [
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
    ]


@pytest.mark.parametrize(
    "second",
    [
        {"id": "b", "function": {"name": "look_up", "arguments": "{}"}},
        {"index": 0, "id": "b", "function": {"name": "look_up", "arguments": "{}"}},
    ],
    ids=["without-index", "same-index"],
)
def test_another_id_is_another_call(second: Json) -> None:
    chunks = (chunk(call(0, '{"x"', id="a", name="look_up")), chunk(call(0, ":1}")), chunk({"tool_calls": [second]}))

    output = response_of(translate(stream(*chunks)))["output"]

    assert [(item["call_id"], item["arguments"]) for item in output] == [("a", '{"x":1}'), ("b", "{}")]


def test_arguments_before_the_name_are_kept() -> None:
    [item] = response_of(translate(stream(chunk(call(0, '{"x"', id="a")), chunk(call(0, ":1}", name="look_up")))))[
        "output"
    ]

    assert (item["name"], item["arguments"]) == ("look_up", '{"x":1}')


def test_a_call_without_an_id_gets_one() -> None:
    [item] = response_of(translate(stream(chunk(call(0, "{}", name="look_up")))))["output"]

    assert item["call_id"] == "call_1_0"


@pytest.mark.parametrize(
    ("arguments", "value"), [('{"input": "a\\nb"}', "a\nb"), ('{"other": 1}', '{"other": 1}'), ("{", "{")]
)
def test_a_call_of_a_custom_tool_has_its_text(arguments: str, value: str) -> None:
    events = translate(stream(chunk(call(0, arguments[:1], id="a", name="patch")), chunk(call(0, arguments[1:]))))

    assert kinds(events)[2:-1] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    assert deltas(events, "custom_tool_call_input") == [value]
    [item] = response_of(events)["output"]
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "patch", value)


@pytest.mark.parametrize(("arguments", "value"), [('{"query": "é"}', {"query": "é"}), ("{", {}), ("", {})])
def test_a_search_for_tools_has_an_object_as_arguments(arguments: str, value: Json) -> None:
    events = translate(stream(chunk(call(0, arguments[:1], id="a", name="tool_search")), chunk(call(0, arguments[1:]))))

    assert kinds(events)[2:-1] == ["output_item.added", "output_item.done"]
    [item] = response_of(events)["output"]
    assert (item["type"], item["execution"], item["call_id"]) == ("tool_search_call", "client", "a")
    assert item["arguments"] == value


def test_a_call_in_a_namespace_has_its_own_name() -> None:
    [item] = response_of(translate(stream(chunk(call(0, "{}", id="a", name="agents__spawn")))))["output"]

    assert (item["namespace"], item["name"]) == ("agents", "spawn")


@pytest.mark.parametrize(
    ("finish_reason", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_cut_answer_is_incomplete(finish_reason: str, reason: str) -> None:
    events = translate(
        stream(chunk(call(0, "{}", id="a", name="look_up")), chunk({"content": "a"}), finish_reason=finish_reason)
    )

    response = response_of(events)
    assert kinds(events)[-1] == "incomplete"
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


@pytest.mark.parametrize("finish_reason", ["stop", "tool_calls", "function_call", "eos"])
def test_other_finish_reasons_are_complete(finish_reason: str) -> None:
    assert response_of(translate(stream(finish_reason=finish_reason)))["status"] == "completed"


def test_a_stream_without_content_is_complete() -> None:
    assert response_of(translate(DONE))["output"] == []
    assert kinds(translate(DONE)) == [*START, "completed"]


def test_completes_a_stream_without_its_end_mark() -> None:
    assert kinds(translate(chunk({"content": "a"}, "stop")))[-1] == "completed"


def test_ignores_chunks_after_the_end() -> None:
    assert translate(TEXT, chunk({"content": "more"}), DONE) == translate(TEXT)
    late = stream(chunk({"content": "a"}, "stop"), chunk({"content": "more"}))
    assert deltas(translate(late), "output_text") == ["a"]


def test_comments_become_keep_alives() -> None:
    assert list(builder().feed(b": ping\n\n")) == [KEEP_ALIVE]


@pytest.mark.parametrize(
    "broken",
    [
        b'data: {"error": {"message": "overloaded"}}\n\n',
        b"data: [1]\n\n",
        b'data: {"choices": [{"delta": {}, "finish_reason": "error"}]}\n\n',
        b"data: " + b"x" * (8 * 1024 * 1024) + b"\n\n",
    ],
    ids=["error", "no-object", "finish-reason", "too-long"],
)
def test_raises_at_an_error(broken: bytes) -> None:
    with pytest.raises(ProviderError):
        list(builder().feed(broken))


def test_a_broken_stream_ends_with_the_message() -> None:
    response = builder()
    received = b"".join(response.feed(chunk({"reasoning": "r"}) + chunk({"content": "Half"})))

    events = read_events(received + response.fail(StreamTruncated()))

    assert kinds(events)[-2:] == ["output_text.delta", "failed"]
    failed = response_of(events)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
    assert failed["error"]["message"] == StreamTruncated().message
    # The message is not complete, so it is not in the output.
    assert [item["type"] for item in failed["output"]] == ["reasoning"]
    assert response.end() == b""


@pytest.mark.parametrize(
    ("status", "code"), [(429, "rate_limit_exceeded"), (400, "invalid_prompt"), (502, "server_error")]
)
def test_a_stream_that_fails_at_once_begins_like_any_other(status: int, code: str) -> None:
    error = ProviderError(status, "Broken.", code="model_error", retryable=status != 400)

    events = read_events(builder().fail(error))

    assert kinds(events) == [*START, "failed"]
    assert response_of(events)["error"] == {"code": code, "message": "Broken."}


def test_half_of_a_surrogate_pair_passes() -> None:
    half = json.dumps({"choices": [{"delta": {"content": "\ud83d"}}]})

    assert deltas(translate(f"data: {half}\n\n".encode(), DONE), "output_text") == ["\ud83d"]
