"""Anthropic's token counts in OpenAI's form."""

from typing import Any

from gateway.proxy.usage import Usage, is_count, merge_usage


class TokenCounts:
    """The token counts of a message. Anthropic reports totals: a later count replaces an earlier one."""

    def __init__(self) -> None:
        self._usage = Usage()
        self._thinking: int | None = None

    def update(self, usage: object) -> None:
        """Reads the `usage` of a `message_start` or `message_delta`. A missing count keeps its value."""
        self._usage = merge_usage(self._usage, usage)
        details = usage.get("output_tokens_details") if isinstance(usage, dict) else None
        thinking = details.get("thinking_tokens") if isinstance(details, dict) else None
        self._thinking = thinking if is_count(thinking) else self._thinking

    def openai_usage(self) -> dict[str, Any] | None:
        """Returns OpenAI's `usage`, or None if no count is known.

        OpenAI counts cached tokens as part of the prompt; Anthropic counts them separately.
        """
        if self._usage == Usage() and self._thinking is None:
            return None
        prompt, completion = self._usage.prompt_tokens or 0, self._usage.completion_tokens or 0
        details = {"cached_tokens": self._usage.cache_read_tokens or 0}
        if self._usage.cache_write_tokens is not None:
            details["cache_write_tokens"] = self._usage.cache_write_tokens
        usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
        usage |= {"total_tokens": prompt + completion, "prompt_tokens_details": details}
        if self._thinking is not None:
            usage["completion_tokens_details"] = {"reasoning_tokens": self._thinking}
        return usage
