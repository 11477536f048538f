"""The rehearsal's modes: every unusual behaviour of TokenHub's consumer API, by name.

A mode is a function from a `Request` to a `ScriptedResponse`. To add one, write it and add it to `MODES`.
"""

import math
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from tools.rehearsal import anthropic, failures, streams
from tools.rehearsal.failures import Mode
from tools.rehearsal.request import Json, Request
from tools.rehearsal.response import BodyStep, Disconnect, ScriptedResponse
from tools.rehearsal.routes import (
    ROUTES,
    error_response,
    normal_response,
    stream_response,
    streams_anthropic_events,
)


def truncated(request: Request, tokens: int, *steps: BodyStep) -> ScriptedResponse:
    """The normal stream up to its first `tokens` tokens, or half of a body that is not a stream; then `steps`."""
    response = normal_response(request)
    if response.is_stream:
        unfinished = response.steps[: len(response.steps) - response.trailing]
        prefix = unfinished[: response.leading + tokens * request.choice_count]
    else:
        prefix = (response.body[: len(response.body) // 2],)
    return replace(response, steps=(*prefix, *steps))


def slow(request: Request) -> ScriptedResponse:
    response, pause = normal_response(request), 0.2 if request.delay_s is None else request.delay_s
    if not response.is_stream:
        return replace(response, delay_s=pause * max(1, len(request.echo.tokens)))
    paced = [step for frame in response.steps for step in (pause, frame)]
    return replace(response, steps=tuple(paced[1:]))


def slow_headers(request: Request) -> ScriptedResponse:
    return replace(normal_response(request), delay_s=2.0 if request.delay_s is None else request.delay_s)


def hang(request: Request) -> ScriptedResponse:
    return replace(normal_response(request), delay_s=math.inf)


def hang_after_first(request: Request) -> ScriptedResponse:
    return truncated(request, 1, math.inf)


def cut_clean(request: Request) -> ScriptedResponse:
    return truncated(request, 3)


def cut_mid_frame(request: Request) -> ScriptedResponse:
    steps = truncated(request, 3).steps
    last = steps[-1]
    return replace(
        normal_response(request), steps=(*steps[:-1], last[: len(last) // 2] if isinstance(last, bytes) else last)
    )


def cut_reset(request: Request) -> ScriptedResponse:
    # A reset makes the receiver's kernel discard unread data, so the pause lets the tokens arrive first.
    return truncated(request, 3, 0.05, Disconnect.RESET)


def cut_close(request: Request) -> ScriptedResponse:
    """TokenHub's WriteTimeout of 300 s: the connection closes without the last chunk."""
    return truncated(request, 3, Disconnect.CLOSE)


def error_in_band(request: Request) -> ScriptedResponse:
    """The provider sends an error inside a stream that has begun, and ends it cleanly without an end marker."""
    return truncated(request, 1, streams.error_frame(anthropic=streams_anthropic_events(request)))


def anthropic_stream(request: Request) -> ScriptedResponse:
    return (
        stream_response(request, streams.anthropic_stream(request.echo))
        if request.wants_stream
        else normal_response(request)
    )


def rewritten(request: Request, rewrite: Callable[[bytes], tuple[BodyStep, ...]]) -> ScriptedResponse:
    """The normal stream with its bytes replaced by `rewrite`. Leaves a body that is not a stream unchanged."""
    response = normal_response(request)
    return replace(response, steps=rewrite(response.body)) if response.is_stream else response


def split(request: Request) -> ScriptedResponse:
    """Splits frames anywhere and sends every byte of a multi-byte character separately, 1 ms apart."""

    def split_body(body: bytes) -> tuple[BodyStep, ...]:
        parts = re.findall(rb"[\x80-\xff]|[\x00-\x7f]{1,23}", body)
        return tuple(step for part in parts for step in (part, 0.001))

    return rewritten(request, split_body)


def crlf(request: Request) -> ScriptedResponse:
    return rewritten(request, lambda body: (body.replace(b"\n", b"\r\n"),))


def comments(request: Request) -> ScriptedResponse:
    comment = b": PROCESSING\n\n"
    return rewritten(request, lambda body: (comment, body.replace(b"\n\n", b"\n\n" + comment)))


def with_user_text(request: Request, text: str) -> Request:
    """Returns the request with `text` as its only user message."""
    chat_request = request.chat_request | {"messages": [{"role": "user", "content": text}]}
    is_wrapped = request.chat_request is not request.payload
    return replace(request, payload={"request": chat_request} if is_wrapped else chat_request)


def large(request: Request) -> ScriptedResponse:
    """One line of over 1 MB, more than a line scanner's usual buffer."""
    return normal_response(with_user_text(request, "x" * 1024 * 1024))


def huge(request: Request) -> ScriptedResponse:
    """A response of over 6 MB, more than Lambda accepts in one piece."""
    return normal_response(with_user_text(request, "x" * 7 * 1024 * 1024))


def huge_cut(request: Request) -> ScriptedResponse:
    """A response of over 33 MB that is cut before its last byte, long after the gateway has forwarded the status."""
    response = normal_response(with_user_text(request, "x" * 33 * 1024 * 1024))
    return replace(response, steps=(response.body[:-1], Disconnect.CLOSE))


def long_head(request: Request) -> ScriptedResponse:
    """A response header with one byte of padding for each word of the message."""
    response = normal_response(request)
    return replace(response, headers=response.headers | {"Cache-Control": f"padding={'x' * len(request.echo.tokens)}"})


def gzipped(request: Request) -> ScriptedResponse:
    """A proxy that compresses although `identity` was requested. It flushes each event of a stream."""
    response, compressor = normal_response(request), zlib.compressobj(wbits=zlib.MAX_WBITS + 16)
    parts = [step for step in response.steps if isinstance(step, bytes)]
    steps = [compressor.compress(part) + compressor.flush(zlib.Z_SYNC_FLUSH) for part in parts]
    headers = response.headers | {"Content-Encoding": "gzip"}
    return replace(response, headers=headers, steps=(*steps, compressor.flush()))


def empty(_: Request) -> ScriptedResponse:
    """A 204, which a proxy in front of TokenHub may return. TokenHub itself never does."""
    return ScriptedResponse(204, {}, ())


def echo_key(request: Request) -> ScriptedResponse:
    """A provider that repeats the credential of the request in a header and in its text."""
    response = normal_response(with_user_text(request, f"Authorization: {request.credential}"))
    return replace(response, headers=response.headers | {"X-Provider-Authorization": request.credential})


def echo_key_error(request: Request) -> ScriptedResponse:
    response = error_response(
        request, 502, f"all providers failed for streaming: API error (status 401): {request.credential}"
    )
    return replace(response, headers=response.headers | {"X-Provider-Authorization": request.credential})


def other_model(request: Request) -> ScriptedResponse:
    other = "echo" if request.model == "gpt-4o-mini" else "gpt-4o-mini"
    return normal_response(replace(request, model=other, alias=None))


def tool_calls(request: Request) -> ScriptedResponse:
    """Two parallel tool calls whose arguments arrive in fragments, in streams of OpenAI chunks only."""
    if not request.wants_stream or request.path == "/v1/messages":
        return normal_response(request)

    def fragment(index: int, arguments: str, **fields: object) -> dict[str, object]:
        function = {"arguments": arguments} | ({"name": "get_weather"} if fields else {})
        return {"tool_calls": [{"index": index, **fields, "function": function}]}

    first = [fragment(index, "", id=f"call_{index}", type="function") for index in (0, 1)]
    rest = [fragment(index, part) for part in ('{"city":', '"Zürich"}') for index in (0, 1)]
    return stream_response(request, streams.openai_chunks(request.echo, [*first, *rest], 1, "tool_calls"))


MODES: dict[str, Mode] = {
    "normal": normal_response,
    "slow": slow,
    "slow_headers": slow_headers,
    "hang": hang,
    "hang_after_first": hang_after_first,
    "cut_clean": cut_clean,
    "cut_mid_frame": cut_mid_frame,
    "cut_reset": cut_reset,
    "cut_close": cut_close,
    "error_in_band": error_in_band,
    "all_failed": failures.all_failed,
    "model_rate_limited": failures.model_rate_limited,
    "model_overloaded": failures.model_overloaded,
    "no_providers": failures.no_providers,
    "no_models": failures.no_models,
    "budget": failures.budget,
    "rate_limit": failures.rate_limit,
    "key_rate_limit": failures.key_rate_limit,
    "refuse_key": failures.refuse_key,
    "no_scope": failures.no_scope,
    "wrapped_error": failures.wrapped_error,
    "wrapped_html": failures.wrapped_html,
    "wrapped_list": failures.wrapped_list,
    "wrapped_detail": failures.wrapped_detail,
    "wrapped_object": failures.wrapped_object,
    "choice_error": failures.choice_error,
    "error_beside_choices": failures.error_beside_choices,
    "html": failures.html,
    "panic": failures.panic,
    "anthropic_stream": anthropic_stream,
    "anthropic_tools": anthropic.tools,
    "anthropic_error": anthropic.error,
    "split": split,
    "crlf": crlf,
    "comments": comments,
    "large": large,
    "huge": huge,
    "huge_cut": huge_cut,
    "long_head": long_head,
    "gzipped": gzipped,
    "empty": empty,
    "echo_key": echo_key,
    "echo_key_error": echo_key_error,
    "other_model": other_model,
    "tool_calls": tool_calls,
}

# TokenHub checks in this order: rate limit per address, key, scope, budget, rate limit per key, body.
CHECKED_BEFORE_KEY = frozenset({"rate_limit"})
CHECKED_BEFORE_BODY = CHECKED_BEFORE_KEY | {"refuse_key", "no_scope", "budget", "key_rate_limit"}
# These modes also change the public routes.
CHANGE_PUBLIC_ROUTES = frozenset({"no_providers", "no_models"})


def respond(mode: str, request: Request) -> ScriptedResponse:
    """Runs a mode. An invalid body gets TokenHub's refusal, unless the mode's failure precedes the body."""
    if mode not in CHECKED_BEFORE_BODY and (refusal := body_refusal(request)):
        return refusal
    return MODES[mode](request)


def body_refusal(request: Request) -> ScriptedResponse | None:
    """Returns TokenHub's refusal of the body. On /v1/messages only a 400 is TokenHub's own."""
    response = normal_response(request)
    is_providers = response.status == 200 or (request.path == "/v1/messages" and response.status != 400)
    return None if is_providers else response


@dataclass(frozen=True)
class Rehearsal:
    """The mode of the next `times` requests (None: no limit), for one path or for all POST routes."""

    mode: str = "normal"
    times: int | None = None
    delay_ms: float | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, which lists the allowed values."""
        if self.mode not in tuple(MODES):
            raise ValueError(unknown_mode_message(self.mode))
        if self.times is not None and (type(self.times) is not int or self.times < 1):
            raise ValueError("times must be an integer of at least 1, or null")
        if self.delay_ms is not None and (type(self.delay_ms) not in (int, float) or not self.delay_ms >= 0):
            raise ValueError("delay_ms must be a number of at least 0, or null")
        if self.path is not None and self.path not in tuple(ROUTES):
            raise ValueError(f"path must be null or one of: {', '.join(ROUTES)}")


def unknown_mode_message(mode: object) -> str:
    return f"unknown mode {mode!r}; use one of: {', '.join(MODES)}"


def parse_rehearsal(body: Json) -> Rehearsal:
    """Reads a rehearsal from a JSON body. Raises ValueError, which lists the allowed values."""
    known = [field.name for field in fields(Rehearsal)]
    if unknown := ", ".join(sorted(set(body) - set(known))):
        raise ValueError(f"unknown fields: {unknown}; use only: {', '.join(known)}")
    values: Json = {"mode": None} | body
    return Rehearsal(**values)
