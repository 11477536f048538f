"""The id and the finish reasons of an answer, in the formats of OpenAI and Anthropic. Reads parsed JSON only."""

import re
from collections.abc import Mapping
from typing import Any

# A longer list belongs to no API: OpenAI allows 128 choices.
MAX_FINISH_REASONS = 128
# All documented reasons match. Any other text is dropped, because it may be a part of the answer.
FINISH_REASON = re.compile(r"[A-Za-z][\w.-]{0,63}", re.ASCII)


def response_id(content: Mapping[str, Any]) -> str | None:
    """Returns the id of a completion, a message or a response, such as chatcmpl-… or msg_…. None if it has none."""
    value = content.get("id")
    return value if isinstance(value, str) and value else None


def finish_reasons(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the reason of each choice of OpenAI's answer in order, or the reason of Anthropic's message."""
    choices = content.get("choices")
    if not isinstance(choices, list):
        return valid_reasons([content.get("stop_reason")])
    return valid_reasons([choice.get("finish_reason") for choice in choices if isinstance(choice, dict)])


def stop_reason(event: Mapping[str, Any]) -> str | None:
    """Returns the reason that Anthropic's event `message_delta` reports, or None."""
    delta = event.get("delta")
    reasons = valid_reasons([delta.get("stop_reason")]) if isinstance(delta, dict) else ()
    return reasons[0] if reasons else None


def valid_reasons(values: list[Any]) -> tuple[str, ...]:
    """Returns the values that have the form of a finish reason."""
    reasons = (value for value in values if isinstance(value, str) and FINISH_REASON.fullmatch(value))
    return tuple(reasons)[:MAX_FINISH_REASONS]
