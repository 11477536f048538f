"""The rehearsal's modes: every oddity of TokenHub's consumer API, by name.

A mode is a function from a `Call` to an `Answer`. To add one, write it and enter it in `MODES`.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from tools.rehearsal import failures
from tools.rehearsal.answers import ROUTES, fail, normal, stream_answer
from tools.rehearsal.call import Answer, Call, Cut, Json, Piece
from tools.rehearsal.streams import anthropic, openai_deltas

type Mode = Callable[[Call], Answer]


def begun(call: Call, tokens: int, *end: Piece) -> Answer:
    """The normal answer up to its first `tokens` tokens (half of it, when it is no stream), then `end`."""
    answer = normal(call)
    if answer.streamed:
        unfinished = answer.pieces[: len(answer.pieces) - answer.ending]
        kept = unfinished[: answer.opening + tokens * call.choices]
    else:
        body = b"".join(piece for piece in answer.pieces if isinstance(piece, bytes))
        kept = (body[: len(body) // 2],)
    return replace(answer, pieces=(*kept, *end))


def slow(call: Call) -> Answer:
    answer, pause = normal(call), 0.2 if call.delay is None else call.delay
    if not answer.streamed:
        return replace(answer, wait=pause * max(1, len(call.spoken.tokens)))
    paced = [piece for written in answer.pieces for piece in (pause, written)]
    return replace(answer, pieces=tuple(paced[1:]))


def slow_headers(call: Call) -> Answer:
    return replace(normal(call), wait=2.0 if call.delay is None else call.delay)


def hang(call: Call) -> Answer:
    return replace(normal(call), wait=math.inf)


def hang_after_first(call: Call) -> Answer:
    return begun(call, 1, math.inf)


def cut_clean(call: Call) -> Answer:
    return begun(call, 3)


def cut_mid_frame(call: Call) -> Answer:
    pieces = begun(call, 3).pieces
    last = pieces[-1]
    return replace(normal(call), pieces=(*pieces[:-1], last[: len(last) // 2] if isinstance(last, bytes) else last))


def cut_reset(call: Call) -> Answer:
    # A reset makes the receiver's kernel discard what it has not read yet: let the tokens arrive first.
    return begun(call, 3, 0.05, Cut.RESET)


def cut_close(call: Call) -> Answer:
    """TokenHub's own WriteTimeout of 300 s: the connection closes without the last chunk."""
    return begun(call, 3, Cut.CLOSE)


def anthropic_stream(call: Call) -> Answer:
    return stream_answer(call, anthropic(call.spoken)) if call.streams else normal(call)


def rewritten(call: Call, rewrite: Callable[[bytes], tuple[Piece, ...]]) -> Answer:
    """The normal stream with its bytes written otherwise; an answer that is no stream stays as it is."""
    answer = normal(call)
    if not answer.streamed:
        return answer
    whole = b"".join(piece for piece in answer.pieces if isinstance(piece, bytes))
    return replace(answer, pieces=rewrite(whole))


def split(call: Call) -> Answer:
    """Frames cut at odd places, and every byte of a multi-byte character on its own, a moment apart."""

    def shatter(whole: bytes) -> tuple[Piece, ...]:
        parts = re.findall(rb"[\x80-\xff]|[\x00-\x7f]{1,23}", whole)
        return tuple(piece for part in parts for piece in (part, 0.001))

    return rewritten(call, shatter)


def crlf(call: Call) -> Answer:
    return rewritten(call, lambda whole: (whole.replace(b"\n", b"\r\n"),))


def comments(call: Call) -> Answer:
    comment = b": PROCESSING\n\n"
    return rewritten(call, lambda whole: (comment, whole.replace(b"\n\n", b"\n\n" + comment)))


def with_text(call: Call, text: str) -> Call:
    """The same call, as if the user had said `text`."""
    said = call.inner | {"messages": [{"role": "user", "content": text}]}
    return replace(call, payload={"request": said} if call.inner is not call.payload else said)


def large(call: Call) -> Answer:
    """One line of over 1 MB, which is more than a line scanner's usual buffer."""
    return normal(with_text(call, "x" * 1024 * 1024))


def huge(call: Call) -> Answer:
    """An answer of over 6 MB, which is more than Lambda takes in one piece."""
    return normal(with_text(call, "x" * 7 * 1024 * 1024))


def huge_cut(call: Call) -> Answer:
    """An answer of over 33 MB that breaks off just before its end, when its status has long been sent on."""
    answer = normal(with_text(call, "x" * 33 * 1024 * 1024))
    whole = b"".join(piece for piece in answer.pieces if isinstance(piece, bytes))
    return replace(answer, pieces=(whole[:-1], Cut.CLOSE))


def long_head(call: Call) -> Answer:
    """A header with as many bytes of padding as the message has words."""
    answer = normal(call)
    return replace(answer, headers=answer.headers | {"Cache-Control": f"padding={'x' * len(call.spoken.tokens)}"})


def empty(_: Call) -> Answer:
    """No TokenHub of today answers so; a proxy before it may."""
    return Answer(204, {}, ())


def echo_key(call: Call) -> Answer:
    """A provider that repeats the credential it was sent, in a header and in its text."""
    answer = normal(with_text(call, f"Authorization: {call.credential}"))
    return replace(answer, headers=answer.headers | {"X-Provider-Authorization": call.credential})


def echo_key_error(call: Call) -> Answer:
    answer = fail(call, 502, f"all providers failed for streaming: API error (status 401): {call.credential}")
    return replace(answer, headers=answer.headers | {"X-Provider-Authorization": call.credential})


def other_model(call: Call) -> Answer:
    other = "echo" if call.model == "gpt-4o-mini" else "gpt-4o-mini"
    return normal(replace(call, model=other, alias=None))


def tool_calls(call: Call) -> Answer:
    """Two parallel tool calls whose arguments come in fragments (streams of OpenAI chunks only)."""
    if not call.streams or call.path == "/v1/messages":
        return normal(call)

    def fragment(index: int, arguments: str, **more: object) -> dict[str, object]:
        function = {"arguments": arguments} | ({"name": "get_weather"} if more else {})
        return {"tool_calls": [{"index": index, **more, "function": function}]}

    opened = [fragment(index, "", id=f"call_{index}", type="function") for index in (0, 1)]
    parts = [fragment(index, part) for part in ('{"city":', '"Zürich"}') for index in (0, 1)]
    return stream_answer(call, openai_deltas(call.spoken, [*opened, *parts], 1, "tool_calls"))


MODES: dict[str, Mode] = {
    "normal": normal,
    "slow": slow,
    "slow_headers": slow_headers,
    "hang": hang,
    "hang_after_first": hang_after_first,
    "cut_clean": cut_clean,
    "cut_mid_frame": cut_mid_frame,
    "cut_reset": cut_reset,
    "cut_close": cut_close,
    "all_failed": failures.all_failed,
    "no_providers": failures.no_providers,
    "no_models": failures.no_models,
    "budget": failures.budget,
    "rate_limit": failures.rate_limit,
    "key_rate_limit": failures.key_rate_limit,
    "refuse_key": failures.refuse_key,
    "no_scope": failures.no_scope,
    "wrapped_error": failures.wrapped_error,
    "wrapped_html": failures.wrapped_html,
    "html": failures.html,
    "panic": failures.panic,
    "anthropic_stream": anthropic_stream,
    "split": split,
    "crlf": crlf,
    "comments": comments,
    "large": large,
    "huge": huge,
    "huge_cut": huge_cut,
    "long_head": long_head,
    "empty": empty,
    "echo_key": echo_key,
    "echo_key_error": echo_key_error,
    "other_model": other_model,
    "tool_calls": tool_calls,
}

# TokenHub's order: rate limit per address, key, scope, budget, rate limit per key, and only then the body.
BEFORE_KEY = frozenset({"rate_limit"})
BEFORE_BODY = BEFORE_KEY | {"refuse_key", "no_scope", "budget", "key_rate_limit"}
# These two also change the public routes.
NOTHING_REGISTERED = frozenset({"no_providers", "no_models"})


def answer(mode: str, call: Call) -> Answer:
    if mode not in BEFORE_BODY and (refused := normal(call)).status != 200:
        return refused
    return MODES[mode](call)


@dataclass(frozen=True)
class Rehearsal:
    """The mode of the next `times` requests (None: until changed), for one path or for all POST routes."""

    mode: str = "normal"
    times: int | None = None
    delay_ms: float | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError, saying what is allowed."""
        if self.mode not in tuple(MODES):
            raise ValueError(unknown_mode(self.mode))
        if self.times is not None and (type(self.times) is not int or self.times < 1):
            raise ValueError("times is a whole number from 1, or null")
        if self.delay_ms is not None and (type(self.delay_ms) not in (int, float) or not self.delay_ms >= 0):
            raise ValueError("delay_ms is a number from 0, or null")
        if self.path is not None and self.path not in tuple(ROUTES):
            raise ValueError(f"path is one of {', '.join(ROUTES)}, or null")


def unknown_mode(mode: object) -> str:
    return f"unknown mode {mode!r}; the modes are {', '.join(MODES)}"


def rehearsal(body: Json) -> Rehearsal:
    """A rehearsal out of a request's body; raise ValueError, saying what is allowed."""
    known = [field.name for field in fields(Rehearsal)]
    if unknown := ", ".join(sorted(set(body) - set(known))):
        raise ValueError(f"unknown: {unknown}; the fields are {', '.join(known)}")
    asked: Json = {"mode": None} | body
    return Rehearsal(**asked)
