"""Anthropic's token counts in OpenAI's form."""

from typing import Any

from gateway.proxy.usage import is_count

INPUT_FIELDS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class TokenCounts:
    """The token counts of a message. Anthropic reports totals: a later count replaces an earlier one."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def update(self, usage: object) -> None:
        """Reads the `usage` of a `message_start` or `message_delta`. A missing count keeps its value."""
        if not isinstance(usage, dict):
            return
        details = usage.get("output_tokens_details")
        thinking = details.get("thinking_tokens") if isinstance(details, dict) else None
        counts = {name: usage.get(name) for name in (*INPUT_FIELDS, "output_tokens")} | {"thinking_tokens": thinking}
        self._counts |= {name: count for name, count in counts.items() if is_count(count)}

    def openai_usage(self) -> dict[str, Any] | None:
        """Returns OpenAI's `usage`, or None if no count is known.

        OpenAI counts cached tokens as part of the prompt; Anthropic counts them separately.
        """
        if not self._counts:
            return None
        prompt = sum(self._counts.get(name, 0) for name in INPUT_FIELDS)
        completion = self._counts.get("output_tokens", 0)
        details = {"cached_tokens": self._counts.get("cache_read_input_tokens", 0)}
        if "cache_creation_input_tokens" in self._counts:
            details["cache_write_tokens"] = self._counts["cache_creation_input_tokens"]
        usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
        usage |= {"total_tokens": prompt + completion, "prompt_tokens_details": details}
        if "thinking_tokens" in self._counts:
            usage["completion_tokens_details"] = {"reasoning_tokens": self._counts["thinking_tokens"]}
        return usage
