import pytest

from tools.local.emulator.policy_match import matches

ARN = "arn:aws:execute-api:us-east-1:000000000000:abc123/prod/GET/api/v1/providers/"


@pytest.mark.parametrize("pattern", [ARN + "*", ARN + "?", "arn:aws:execute-api:*"])
def test_wildcards_match_a_line_break(pattern: str) -> None:
    assert matches(pattern, ARN + "\n")


@pytest.mark.parametrize("pattern", [ARN, ARN + "a", ARN.replace("v1", "v.") + "*", "arn:aws:execute-api:?"])
def test_everything_else_is_literal(pattern: str) -> None:
    assert not matches(pattern, ARN + "\n")
