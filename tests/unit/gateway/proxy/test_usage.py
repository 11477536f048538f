import pytest

from gateway.proxy.usage import Usage, merge_usage


@pytest.mark.parametrize(
    ("report", "usage"),
    [
        (None, Usage(1, 2)),
        ("many", Usage(1, 2)),
        ({}, Usage(1, 2)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, Usage(3, 4)),
        ({"input_tokens": 3}, Usage(3, 2)),
        ({"output_tokens": 0}, Usage(1, 0)),
        ({"prompt_tokens": None, "completion_tokens": 2.5}, Usage(1, 2)),
        ({"cache_creation_input_tokens": 20, "cache_read_input_tokens": True}, Usage(1, 2, 20)),
        ({"input_tokens": 3, "cache_read_input_tokens": 100}, Usage(3, 2, None, 100)),
    ],
)
def test_keeps_known_usage_when_a_report_omits_it(report: object, usage: Usage) -> None:
    assert merge_usage(Usage(1, 2), report) == usage


def test_usage_is_unknown_until_reported() -> None:
    assert merge_usage(Usage(), {"prompt_tokens": 3}) == Usage(3, None)


@pytest.mark.parametrize(
    ("usage", "prompt_tokens"),
    [(Usage(), None), (Usage(3), 3), (Usage(3, 5, 20, 100), 123), (Usage(None, 5, None, 100), 100)],
)
def test_prompt_tokens_include_anthropics_cached_tokens(usage: Usage, prompt_tokens: int | None) -> None:
    assert usage.prompt_tokens == prompt_tokens


def test_counts_cached_tokens_once_in_a_report_of_both_forms() -> None:
    report = {"prompt_tokens": 123, "input_tokens": 3, "cache_creation_input_tokens": 20}

    assert merge_usage(Usage(), report | {"cache_read_input_tokens": 100}).prompt_tokens == 123


def test_keeps_cached_tokens_when_a_later_report_omits_them() -> None:
    start = merge_usage(Usage(), {"input_tokens": 3, "cache_read_input_tokens": 100})

    assert merge_usage(start, {"input_tokens": 4, "output_tokens": 5}).prompt_tokens == 104
