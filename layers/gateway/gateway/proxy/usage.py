"""Token counts of a response, in OpenAI's or Anthropic's field names."""

from dataclasses import dataclass
from typing import TypeIs

# Larger counts are treated as missing. JSON numbers have no limit; CloudWatch's and DynamoDB's have one.
MAX_TOKENS = 10**9


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the provider reports them. None where it reports none.

    OpenAI counts cached tokens as part of the prompt. Anthropic counts them separately: `input_tokens` are then the
    other ones.
    """

    input_tokens: int | None = None
    completion_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_read_tokens: int | None = None

    @property
    def prompt_tokens(self) -> int | None:
        """All tokens of the prompt, cached ones included."""
        counts = (self.input_tokens, self.cache_write_tokens, self.cache_read_tokens)
        known = [count for count in counts if count is not None]
        return sum(known) if known else None


def merge_usage(known: Usage, report: object) -> Usage:
    """Returns the known usage updated by one more report, which has OpenAI's or Anthropic's field names."""
    if not isinstance(report, dict):
        return known
    prompt = report.get("prompt_tokens")
    # OpenAI's count includes the cached tokens, so a proxy's report in both forms must not count them twice.
    anthropic = {} if is_count(prompt) else report
    return Usage(
        _count(prompt if is_count(prompt) else report.get("input_tokens"), known.input_tokens),
        _count(report.get("completion_tokens", report.get("output_tokens")), known.completion_tokens),
        _count(anthropic.get("cache_creation_input_tokens"), known.cache_write_tokens),
        _count(anthropic.get("cache_read_input_tokens"), known.cache_read_tokens),
    )


def is_count(value: object) -> TypeIs[int]:
    """Whether a value is a plausible number of tokens."""
    return type(value) is int and 0 <= value <= MAX_TOKENS


def _count(value: object, known: int | None) -> int | None:
    return value if is_count(value) else known
