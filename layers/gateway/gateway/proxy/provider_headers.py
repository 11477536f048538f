"""Selects and validates the headers of a provider's response that the client receives.

A header with a meaning is parsed and either forwarded or dropped, never redacted: a redacted `text/event-stream` would
not be a stream any longer.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from gateway.core.redaction import redact, redact_secrets
from gateway.proxy.upstream_errors import CONTROL_CHARACTERS

# A longer value is dropped. Lambda limits status and headers to 16 KB together.
MAX_VALUE_CHARACTERS = 1024
# Providers send about 12 rate limit headers. Further ones are dropped.
MAX_RATE_LIMIT_HEADERS = 32

type Parser = Callable[[str, Sequence[str]], str | None]

WORD = r"[\w!#$%&'*+.^`|~-]+"
MEDIA_TYPE = re.compile(rf"({WORD}/{WORD})(?:\s*;.*)?", re.ASCII)
PARAMETERS = re.compile(rf'(?:\s*;\s*(?:{WORD}=(?:{WORD}|"[^"\\]*"))?)*', re.ASCII)
# These contain no secret, even if a key happens to be the word "event-stream".
KNOWN_MEDIA_TYPE = re.compile(
    r"(?:text/(?:event-stream|plain|html)|application/(?:json|octet-stream|x-ndjson))(?:\s*;\s*charset=[\"']?utf-8[\"']?)?",
    re.IGNORECASE,
)
# RFC 9111, RFC 5861 and RFC 8246.
CACHE_DIRECTIVE = (
    r"(?:no-cache|no-store|no-transform|private|public|immutable|must-revalidate|proxy-revalidate|must-understand"
    r"|(?:max-age|s-maxage|stale-while-revalidate|stale-if-error)=\d{1,7})"
)
CACHE_CONTROL = re.compile(rf"{CACHE_DIRECTIVE}(?:\s*,\s*{CACHE_DIRECTIVE})*", re.IGNORECASE | re.ASCII)
# Seconds, which OpenAI's SDKs read as a decimal number, or an HTTP date.
RETRY_AFTER = re.compile(
    r"\d{1,7}(?:\.\d{1,3})?"
    r"|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    r" \d{4} \d\d:\d\d:\d\d GMT",
    re.ASCII,
)
MILLISECONDS = re.compile(r"\d{1,10}(?:\.\d{1,3})?", re.ASCII)
BOOLEAN = re.compile("true|false")
RATE_LIMIT_NAME = re.compile(r"(?:x|anthropic)-ratelimit-[a-z0-9_-]{1,48}", re.ASCII)
# Counts, durations such as 6m0s, times, and words such as allowed.
RATE_LIMIT_VALUE = re.compile(r"[\w.:+%;=, -]{1,128}", re.ASCII)


def forwarded_headers(headers: Iterable[tuple[str, str]], secrets: Sequence[str]) -> dict[str, str]:
    """Returns the headers that the client receives. Each has one clean value. All names are in lower case.

    The first value counts where the provider sends a header twice. Control characters are removed. Invalid and overlong
    values are dropped. A provider may repeat the key that it received in any header: `secrets` are never returned.
    """
    values: dict[str, str] = {}
    for name, value in headers:
        values.setdefault(name.lower(), value)
    rate_limits = [name for name in values if _is_rate_limit(name, secrets)][:MAX_RATE_LIMIT_HEADERS]
    parsers = PARSERS | dict.fromkeys(rate_limits, _rate_limit)
    parsed = {name: _parse(values[name], parse, secrets) for name, parse in parsers.items() if name in values}
    return {name: value for name, value in parsed.items() if value}


def _parse(value: str, parse: Parser, secrets: Sequence[str]) -> str | None:
    clean = CONTROL_CHARACTERS.sub("", value).strip()
    return parse(clean, secrets) if len(clean) <= MAX_VALUE_CHARACTERS else None


def _is_rate_limit(name: str, secrets: Sequence[str]) -> bool:
    return RATE_LIMIT_NAME.fullmatch(name) is not None and redact(name, secrets) == name


def _rate_limit(value: str, secrets: Sequence[str]) -> str | None:
    return value if RATE_LIMIT_VALUE.fullmatch(value) and redact(value, secrets) == value else None


def _media_type(value: str, secrets: Sequence[str]) -> str | None:
    if KNOWN_MEDIA_TYPE.fullmatch(value):
        return value
    media_type = MEDIA_TYPE.fullmatch(value)
    if media_type is None:
        return None
    whole = value if PARAMETERS.fullmatch(value, media_type.end(1)) else media_type[1]
    candidates = (each for each in (whole, media_type[1]) if _is_public(each, secrets))
    return next(candidates, None)


def _is_public(media_type: str, secrets: Sequence[str]) -> bool:
    return KNOWN_MEDIA_TYPE.fullmatch(media_type) is not None or redact(media_type, secrets) == media_type


def _matching(pattern: re.Pattern[str]) -> Parser:
    """Returns a parser that drops a value unless all of it matches the pattern."""
    return lambda value, _: value if pattern.fullmatch(value) else None


# A model may be called tokenhub_something, which has the shape of a key: only the key itself is redacted there.
PARSERS: dict[str, Parser] = {
    "content-type": _media_type,
    "cache-control": _matching(CACHE_CONTROL),
    "retry-after": _matching(RETRY_AFTER),
    "retry-after-ms": _matching(MILLISECONDS),
    "x-negotiated-model": redact_secrets,
    "x-alias-from": redact_secrets,
    "idempotency-replay": _matching(BOOLEAN),
    "x-should-retry": _matching(BOOLEAN),
}
