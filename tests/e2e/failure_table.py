"""The table of failures and the outcome of each for a client of the OpenAI SDK."""

import json
from dataclasses import dataclass

import openai

from tests.scripted_server import HANG, JSON, Cut, Pieces, answer, response

# The SDK retries twice unless x-should-retry is false.
TRIES = 3

NETWORK = openai.InternalServerError
CHUNK = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
COMPLETION = json.dumps({"model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}}]})
HALF = COMPLETION.encode()[:40]
PAGE = b"<!DOCTYPE html><html><body>Please sign in.</body></html>"
ALL_FAILED = b'{"error":{"message":"all providers failed","type":"server_error","code":null}}\n'


@dataclass(frozen=True)
class Outcome:
    """The outcome of one call: the SDK's exception, the error's status, code and source, and the number of requests.

    `in_band` means that the status was 200 and the error was the last frame of the stream.
    """

    error: type[openai.OpenAIError] | None
    status: int
    code: str | None
    source: str | None
    requests: int
    in_band: bool = False
    headers: tuple[tuple[str, str], ...] = ()


def provider(error: type[openai.APIStatusError], status: int, code: str, requests: int = 1, **headers: str) -> Outcome:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Outcome(error, status, code, "tokenhub", requests, headers=named)


def gateway(status: int, code: str, requests: int = TRIES) -> Outcome:
    return Outcome(NETWORK, status, code, "gateway", requests)


def in_band(code: str, status: int, source: str = "gateway") -> Outcome:
    return Outcome(openai.APIError, status, code, source, 1, in_band=True)


def passed(**headers: str) -> Outcome:
    """The gateway relays a response that TokenHub marks as a success unchanged."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Outcome(None, 200, None, None, 1, headers=named)


CUT = in_band("stream_truncated", 502)
# The rehearsal has this mode for streams only.
ONLY_STREAMS = None
# The faults "silent …" below cover this mode. It is slow.
SEE_FAULTS = None

# docs/tokenhub.md, 1.4: the rehearsal's mode → (with "stream": true, without).
TOKENHUB: dict[str, tuple[Outcome, Outcome | None]] = {
    mode: seen if isinstance(seen, tuple) else (seen, seen)
    for mode, seen in {
        "refuse_key": provider(openai.AuthenticationError, 401, "provider_key_refused"),
        "no_scope": provider(openai.PermissionDeniedError, 403, "provider_scope_missing"),
        "budget": provider(openai.RateLimitError, 429, "provider_budget_spent", x_should_retry="false"),
        "rate_limit": provider(openai.RateLimitError, 429, "provider_rate_limited", TRIES, retry_after="1"),
        "key_rate_limit": provider(openai.RateLimitError, 429, "provider_rate_limited", TRIES, retry_after="1"),
        "no_providers": provider(NETWORK, 502, "provider_no_models", TRIES),
        "no_models": provider(NETWORK, 502, "provider_no_models", TRIES),
        "all_failed": provider(NETWORK, 502, "provider_all_failed", TRIES),
        "echo_key_error": provider(NETWORK, 502, "provider_all_failed", TRIES),
        "panic": provider(NETWORK, 500, "provider_error", TRIES),
        "html": (gateway(502, "not_a_stream", 1), gateway(502, "not_json", 1)),
        # The whole body is a JSON error, although it is declared as a stream.
        "wrapped_error": (in_band("provider_stream_error", 502, "model"), passed()),
        "wrapped_html": (CUT, passed()),
        # These are no events and no error object, so the stream has no end.
        "wrapped_list": (CUT, passed()),
        "wrapped_detail": (CUT, passed()),
        "wrapped_object": (CUT, passed()),
        # The error is in a choice, where the SDK ignores it.
        "choice_error": passed(),
        "other_model": passed(x_model_substituted="true"),
        "cut_clean": (CUT, ONLY_STREAMS),
        "cut_mid_frame": (CUT, ONLY_STREAMS),
        "cut_reset": (CUT, gateway(502, "answer_truncated")),
        "cut_close": (CUT, gateway(502, "answer_truncated")),
        "hang": (in_band("first_byte_timeout", 504), SEE_FAULTS),
        "hang_after_first": (in_band("stream_idle_timeout", 504), SEE_FAULTS),
    }.items()
}

# After the first keep-alive comment and before the first-byte limit.
SLOW_S = 1.0
LONG = tuple(piece for _ in range(40) for piece in (CHUNK, 0.25))
LONG_ANSWER = tuple(piece for _ in range(40) for piece in (b" ", 0.25))
UNREADABLE = b"\x16\x03\x01 this is not HTTP\r\n\r\n"

# Faults of the transport: name → (response with "stream": true, without).
FAULTS: dict[str, tuple[Pieces, Pieces]] = {
    "reset before the head": ((Cut.RESET,),) * 2,
    "closed before the head": ((Cut.CLOSE,),) * 2,
    "cut in the head": ((b"HTTP/1.1 200 OK\r\nconte", Cut.CLOSE),) * 2,
    "garbage instead of HTTP": ((UNREADABLE, Cut.CLOSE),) * 2,
    "reset after the head": (response((0.05,), ending="reset"), response((0.05,), headers=JSON, ending="reset")),
    "reset in the middle": (
        response((CHUNK, 0.05), ending="reset"),
        response((HALF, 0.05), headers=JSON, ending="reset"),
    ),
    "cut in a frame": (response((CHUNK, CHUNK[:9])), response((HALF,), headers=JSON, ending="close")),
    "cut at 300 s": (response((CHUNK,), ending="close"), response((HALF,), headers=JSON, ending="close")),
    "silent before the head": ((HANG,),) * 2,
    "silent after the head": (response(ending="hang"), response(headers=JSON, ending="hang")),
    "silent in the middle": (response((CHUNK,), ending="hang"), response((HALF,), headers=JSON, ending="hang")),
    "too long": (response(LONG), response(LONG_ANSWER, headers=JSON)),
    "a redirect": ((answer(307, location="/v1/elsewhere"),),) * 2,
    "a page": ((answer(200, PAGE, "text/html"),),) * 2,
    "not a stream": ((answer(200, COMPLETION.encode()),),) * 2,
    "a late refusal": ((SLOW_S, answer(502, ALL_FAILED)),) * 2,
    "a late answer that is not a stream": ((SLOW_S, answer(200, COMPLETION.encode())),) * 2,
    "a late redirect": ((SLOW_S, answer(307, location="/")),) * 2,
    "a late cut": ((SLOW_S, *response((CHUNK,))), (SLOW_S, *response((HALF,), headers=JSON, ending="close"))),
}

DISCONNECTED = gateway(502, "provider_disconnected")
TRUNCATED = gateway(502, "answer_truncated")
REFUSED = provider(NETWORK, 502, "provider_all_failed", TRIES)

OUTCOMES: dict[str, tuple[Outcome, Outcome]] = {
    "reset before the head": (DISCONNECTED, DISCONNECTED),
    "closed before the head": (DISCONNECTED, DISCONNECTED),
    "cut in the head": (DISCONNECTED, DISCONNECTED),
    "garbage instead of HTTP": (DISCONNECTED, DISCONNECTED),
    "reset after the head": (CUT, TRUNCATED),
    "reset in the middle": (CUT, TRUNCATED),
    "cut in a frame": (CUT, TRUNCATED),
    "cut at 300 s": (CUT, TRUNCATED),
    "silent before the head": (in_band("first_byte_timeout", 504), gateway(504, "first_byte_timeout")),
    "silent after the head": (in_band("stream_idle_timeout", 504), gateway(504, "deadline")),
    "silent in the middle": (in_band("stream_idle_timeout", 504), gateway(504, "deadline")),
    "too long": (in_band("deadline", 504), gateway(504, "deadline")),
    "a redirect": (gateway(502, "redirect_refused", 1), gateway(502, "redirect_refused", 1)),
    "a page": (gateway(502, "not_a_stream", 1), gateway(502, "not_json", 1)),
    "not a stream": (gateway(502, "not_a_stream", 1), passed()),
    "a late refusal": (in_band("provider_all_failed", 502, "tokenhub"), REFUSED),
    "a late answer that is not a stream": (in_band("not_a_stream", 502), passed()),
    "a late redirect": (in_band("redirect_refused", 502), gateway(502, "redirect_refused", 1)),
    "a late cut": (CUT, TRUNCATED),
}
