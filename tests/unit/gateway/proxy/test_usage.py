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
    ],
)
def test_keeps_known_usage_when_a_report_omits_it(report: object, usage: Usage) -> None:
    assert merge_usage(Usage(1, 2), report) == usage


def test_usage_is_unknown_until_reported() -> None:
    assert merge_usage(Usage(), {"prompt_tokens": 3}) == Usage(3, None)
