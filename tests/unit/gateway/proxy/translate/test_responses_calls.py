"""Tool calls of lenient providers, and calls that were cut, as items of a Response."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.answer_errors import NotACompletion
from gateway.core.errors import ProviderError
from gateway.proxy.translate.responses_tools import cut_input
from tests.scripted_server import DONE
from tests.unit.gateway.builders import BRIEFLY
from tests.unit.gateway.responses import Json, builder, call, chunk, kinds, read_response, stream, translate


def output_of(*deltas: Json, finish_reason: str = "tool_calls") -> list[Json]:
    return list(translate(stream(*map(chunk, deltas), finish_reason=finish_reason))[-1]["response"]["output"])


def arguments_of(*deltas: Json) -> list[tuple[str, str]]:
    return [(item["call_id"], item["arguments"]) for item in output_of(*deltas)]


def piece(arguments: object = "", **fields: object) -> Json:
    """Returns the delta of a call without an index, unless `fields` has one."""
    name = {"name": fields.pop("name")} if "name" in fields else {}
    return {"tool_calls": [{"function": name | {"arguments": arguments}, **fields}]}


def whole(message: Json, finish_reason: str = "tool_calls") -> Json:
    return read_response(builder().whole({"choices": [{"message": message, "finish_reason": finish_reason}]}))


def test_an_id_on_each_delta_names_one_call() -> None:
    deltas = piece(id="a", name="look_up"), piece('{"x"', id="a"), piece(id="b", name="look_up"), piece(":1}", id="a")

    assert arguments_of(*deltas, piece("{}", id="b")) == [("a", '{"x":1}'), ("b", "{}")]


def test_deltas_without_an_id_continue_the_newest_call_of_their_index() -> None:
    deltas = call(0, id="a", name="look_up"), call(0, "{}"), call(0, id="b", name="look_up"), call(0, '{"x"')

    assert arguments_of(*deltas, call(0, ":1}")) == [("a", "{}"), ("b", '{"x":1}')]


def test_a_new_id_on_each_delta_continues_the_call_of_its_index() -> None:
    deltas = call(0, id="a", name="look_up"), call(1, id="b", name="look_up"), call(0, '{"x"', id="c")

    assert arguments_of(*deltas, call(1, "{}", id="d"), call(0, ":1}", id="e")) == [("a", '{"x":1}'), ("b", "{}")]


def test_each_name_without_an_id_and_an_index_begins_a_call() -> None:
    assert arguments_of(piece('{"x"', name="look_up"), piece(":1}"), piece("{}", name="look_up")) == [
        ("call_1_0", '{"x":1}'),
        ("call_1_1", "{}"),
    ]


def test_an_id_that_is_not_a_string_is_ignored() -> None:
    assert arguments_of(piece("{}", id=5, name="look_up")) == [("call_1_0", "{}")]


def test_an_index_after_the_first_delta_continues_the_call_of_its_id() -> None:
    assert arguments_of(piece('{"x"', id="a", name="look_up"), call(0, ":1}", id="a")) == [("a", '{"x":1}')]


def test_two_indexes_with_one_id_are_two_calls() -> None:
    assert arguments_of(call(0, "{}", id="a", name="look_up"), call(1, "{}", id="a", name="look_up")) == [
        ("a", "{}"),
        ("a", "{}"),
    ]


@pytest.mark.parametrize("fields", [{}, {"id": "a"}, {"index": 0}])
def test_each_call_of_a_whole_answer_is_one(fields: Json) -> None:
    function = {"function": {"name": "look_up", "arguments": "{}"}}

    output = whole({"tool_calls": [fields | function, fields | function]})["output"]

    assert [item["arguments"] for item in output] == ["{}", "{}"]


def test_arguments_may_be_an_object() -> None:
    function = {"name": "look_up", "arguments": {"x": "é"}}

    [streamed] = output_of(piece({"x": "é"}, id="a", name="look_up"))
    [answered] = whole({"tool_calls": [{"id": "a", "function": function}]})["output"]

    assert json.loads(streamed["arguments"]) == json.loads(answered["arguments"]) == {"x": "é"}


def test_translates_the_legacy_function_call() -> None:
    parts = {"name": "look_up", "arguments": ""}, {"arguments": '{"x"'}, {"arguments": ":1}"}

    [streamed] = output_of(*({"function_call": part} for part in parts), finish_reason="function_call")
    [answered] = whole({"content": None, "function_call": {"name": "look_up", "arguments": '{"x":1}'}})["output"]

    for item in (streamed, answered):
        assert (item["type"], item["name"], item["arguments"]) == ("function_call", "look_up", '{"x":1}')


@pytest.mark.parametrize("name", ["content", "refusal", "reasoning", "reasoning_content"])
def test_a_list_of_parts_is_one_text(name: str) -> None:
    message = {name: [{"type": "text", "text": "Grü"}, {"type": "text", "text": "ße"}]}

    [streamed], [answered] = output_of(message), whole(message)["output"]

    for item in (streamed, answered):
        [part] = item["summary" if item["type"] == "reasoning" else "content"]
        assert "Grüße" in part.values()


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ({"content": {"text": "a"}}, "content"),
        ({"content": ["a"]}, "content"),
        ({"content": [{"type": "image_url"}]}, "content"),
        ({"content": 5}, "content"),
        ({"refusal": 5}, "refusal"),
        ({"reasoning": {"text": "a"}}, "reasoning"),
        ({"tool_calls": 1}, "tool_calls"),
        ({"tool_calls": {"id": "a"}}, "tool_calls"),
        ({"tool_calls": [5]}, "tool_calls"),
        ({"tool_calls": [{"function": "look_up"}]}, "function"),
        ({"tool_calls": [{"function": {"name": 5}}]}, "name"),
        ({"tool_calls": [{"function": {"name": "look_up", "arguments": 5}}]}, "arguments"),
        ({"function_call": "look_up"}, "function"),
        (5, "delta"),
    ],
)
def test_rejects_members_of_another_type(message: object, name: str) -> None:
    with pytest.raises(ProviderError, match=f"chunk with an invalid {name}"):
        translate(chunk(message), DONE)  # type: ignore[arg-type]
    with pytest.raises(NotACompletion, match=f"an invalid {name.replace('delta', 'message')}"):
        whole(message)  # type: ignore[arg-type]


@pytest.mark.parametrize("choices", [5, [5], {"message": {}}])
def test_rejects_choices_of_another_type(choices: object) -> None:
    with pytest.raises(ProviderError, match="an invalid choices"):
        translate(chunk({}, choices=choices), DONE)
    with pytest.raises(NotACompletion):
        builder().whole({"choices": choices})


@pytest.mark.parametrize(
    ("name", "arguments", "field", "value"),
    [
        ("patch", '{"input": "*** Begin\\nrm', "input", "*** Begin\nrm"),
        ("look_up", '{"x": ', "arguments", '{"x": '),
        ("tool_search", '{"query": "a', "arguments", {}),
        # The limit may be reached before the first argument.
        ("look_up", "{}", "arguments", "{}"),
    ],
)
def test_a_cut_call_has_no_done_event(name: str, arguments: str, field: str, value: object) -> None:
    """Codex runs a call at its `output_item.done`."""
    events = translate(stream(chunk(call(0, arguments, id="a", name=name)), finish_reason="length"))

    assert not [kind for kind in kinds(events) if kind.endswith("done")]
    [item] = events[-1]["response"]["output"]
    assert (item["status"], item[field]) == ("incomplete", value)
    [answered] = whole({"tool_calls": [{"id": "a", "function": {"name": name, "arguments": arguments}}]}, "length")[
        "output"
    ]
    assert (answered["status"], answered[field]) == ("incomplete", value)


def test_each_call_with_cut_arguments_is_incomplete() -> None:
    calls = call(0, '{"x"', id="a", name="look_up"), call(1, "{}", id="b", name="look_up")

    output = output_of(*calls, {"content": "a"}, finish_reason="length")

    assert [item["status"] for item in output] == ["incomplete", "completed", "incomplete"]


@BRIEFLY
@given(st.data(), st.text(), st.booleans())
def test_the_input_of_a_cut_call_is_the_beginning_of_its_text(data: st.DataObject, text: str, ascii_only: bool) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=ascii_only)
    end = data.draw(st.integers(0, len(arguments)))

    assert text.startswith(cut_input(arguments[:end]))
    assert cut_input(arguments[: len(arguments) - 1]) == text


def test_cut_arguments_without_the_input_have_an_empty_input() -> None:
    assert cut_input('{"other": "a') == cut_input("rm -r") == ""


def test_half_of_a_surrogate_pair_is_cut_off() -> None:
    assert cut_input('{"input": "a\\ud83d') == cut_input('{"input": "a\\ud83d\\ude') == "a"
    assert cut_input('{"input": "a\\ud83d\\ude00') == "a😀"
