from typing import Any

import pytest

from gateway.proxy.translate.usage import TokenCounts
from gateway.proxy.usage import MAX_TOKENS


def openai_usage(*reports: object) -> dict[str, Any] | None:
    counts = TokenCounts()
    for report in reports:
        counts.update(report)
    return counts.openai_usage()


def usage(prompt: int, completion: int, *, cached: int = 0, thinking: int | None = None, **more: int) -> dict[str, Any]:
    total = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    thoughts = {} if thinking is None else {"completion_tokens_details": {"reasoning_tokens": thinking}}
    return total | {"prompt_tokens_details": {"cached_tokens": cached} | more} | thoughts


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([{"input_tokens": 3, "output_tokens": 1}, {"output_tokens": 5}], usage(3, 5)),
        ([{"input_tokens": 3, "output_tokens": 1}], usage(3, 1)),
        ([{"input_tokens": 0, "output_tokens": 1}, {"input_tokens": 3, "output_tokens": 5}], usage(3, 5)),
        ([{"output_tokens": 5}], usage(0, 5)),
        (
            [{"input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100}],
            usage(123, 0, cached=100, cache_write_tokens=20),
        ),
        (
            [{"input_tokens": 3, "cache_read_input_tokens": None}, {"cache_read_input_tokens": 7, "output_tokens": 5}],
            usage(10, 5, cached=7),
        ),
        (
            [{"input_tokens": 3, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}],
            usage(3, 9, thinking=4),
        ),
    ],
)
def test_translates_token_counts(reports: list[object], expected: dict[str, Any]) -> None:
    assert openai_usage(*reports) == expected


@pytest.mark.parametrize(
    "report",
    [
        None,
        "x",
        {},
        {"input_tokens": "3"},
        {"input_tokens": -1},
        {"input_tokens": True},
        {"output_tokens": 1.5},
        {"output_tokens": MAX_TOKENS + 1},
        {"output_tokens_details": 3},
    ],
)
def test_ignores_values_that_are_not_counts(report: object) -> None:
    assert openai_usage(report) is None
    assert openai_usage({"input_tokens": 3, "output_tokens": 5}, report) == usage(3, 5)
