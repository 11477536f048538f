"""Token counts of a response, in OpenAI's or Anthropic's field names."""

from dataclasses import dataclass
from typing import TypeIs

# Larger counts are treated as missing. JSON numbers have no limit; CloudWatch's and DynamoDB's have one.
MAX_TOKENS = 10**9


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the provider reports them. None where it reports none."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def merge_usage(known: Usage, report: object) -> Usage:
    """Returns the known usage updated by one more report, which has OpenAI's or Anthropic's field names."""
    if not isinstance(report, dict):
        return known
    prompt = report.get("prompt_tokens", report.get("input_tokens"))
    completion = report.get("completion_tokens", report.get("output_tokens"))
    return Usage(
        prompt if is_count(prompt) else known.prompt_tokens,
        completion if is_count(completion) else known.completion_tokens,
    )


def is_count(value: object) -> TypeIs[int]:
    """Whether a value is a plausible number of tokens."""
    return type(value) is int and 0 <= value <= MAX_TOKENS
