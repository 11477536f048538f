"""Streams as they arrive: most of this only AWS itself can show (how it holds small chunks back, above all)."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tools.smoke.check import Against, Check, Failed, require
from tools.smoke.contract import MB, QUESTION, of_size, told
from tools.smoke.wire import Reply

PATH = "/v1/chat/completions"
DONE = b"data: [DONE]\n\n"
MOST_GAP_S = 0.3  # the rehearsal's `slow` sends one token each 0.2 s
FIRST_ALONE_S = 5.0  # with a cold start
SILENCE_S = (10.0, 20.0)  # around KeepAliveSeconds' default, 15
COUNTING: dict[str, Any] = {
    "stream": True,
    "max_tokens": 128,
    "messages": [{"role": "user", "content": "Count from one to thirty in words."}],
}
LARGEST_PRELUDE = 16 * 1024


def rehearsed(mode: str, words: int = 10) -> dict[str, Any]:
    text = " ".join(f"word{number}" for number in range(words))
    return {"model": f"rehearse/{mode}", "stream": True, "messages": [{"role": "user", "content": text}]}


def ended(reply: Reply) -> str:
    after = f", then {'; '.join(reply.trailers)}" if reply.trailers else ""
    return f"{len(reply.chunks)} chunks, {'a clean end' if reply.clean else 'CUT OFF'}{after}"


def whole(against: Against) -> str:
    reply = against.gateway.ask("POST", PATH, QUESTION | {"stream": True, "max_tokens": 64})
    require(reply.status == 200, told(reply))
    is_whole = reply.body.endswith((DONE, b'"message_stop"}\n\n')) and reply.clean
    return require(is_whole and "text/event-stream" in reply.headers.get("content-type", ""), ended(reply))


def arrival(against: Against) -> str:
    """With the rehearsal to the chunk; with a real model only whether it came all at once."""
    reply = against.gateway.ask("POST", PATH, rehearsed("slow") if against.rehearsal else COUNTING)
    require(reply.status == 200 and len(reply.chunks) > 1, ended(reply))
    times = [at for at, _ in reply.chunks]
    gap = max(after - before for before, after in pairwise(times))
    seen = f"{len(times)} chunks, first after {times[0]:.2f} s, last after {times[-1]:.2f} s, longest gap {gap:.2f} s"
    if against.rehearsal:
        return require(len(times) >= 10 and gap <= MOST_GAP_S, seen)
    return require(times[-1] - times[0] > 0.1 * times[-1], seen)


def first_alone(against: Against) -> str:
    """A real model cannot be stopped after its first event: there it is told how long that one was alone."""
    if not against.rehearsal:
        return before_the_rest(against)
    with against.gateway.begin("POST", PATH, rehearsed("hang_after_first")) as talk:
        for data in talk.chunks():
            if b"word0" in data:
                at = talk.reply.chunks[-1][0]
                return require(at < FIRST_ALONE_S, f"seen after {at:.2f} s, and nothing followed it")
        raise Failed(ended(talk.reply))


def before_the_rest(against: Against) -> str:
    reply = against.gateway.ask("POST", PATH, COUNTING)
    events = [(at, data.count(b"data:")) for at, data in reply.chunks if b"data:" in data]
    require(reply.status == 200 and len(events) > 1, f"{told(reply)[:60]}, {ended(reply)}")
    (first, together), (second, _) = events[:2]
    return f"{together} at {first:.2f} s, the next {second - first:.2f} s later"


def silence(against: Against) -> str:
    against.need_rehearsal()
    with against.gateway.begin("POST", PATH, rehearsed("hang")) as talk:
        first = next(talk.chunks(), b"")
        at = talk.reply.chunks[-1][0] if talk.reply.chunks else 0.0
        in_time = SILENCE_S[0] < at < SILENCE_S[1]
        return require(first.startswith(b":") and in_time, f"{first[:40]!r} after {at:.1f} s")


def cut(against: Against) -> str:
    against.need_rehearsal()
    reply = against.gateway.ask("POST", PATH, rehearsed("cut_clean"))
    told_so = b"event: error" in reply.body and b"[DONE]" not in reply.body
    return require(told_so and reply.clean, ended(reply))


def trailers(against: Against) -> str:
    """The gateway sends none while it can tell an error in the stream."""
    modes = ("normal", "cut_clean") if against.rehearsal else ("",)
    bodies = [rehearsed(mode) if mode else QUESTION | {"stream": True} for mode in modes]
    found = [line for body in bodies for line in against.gateway.ask("POST", PATH, body).trailers]
    return require(not found, "; ".join(found) or "none")


def cut_answer(against: Against) -> str:
    """An answer that is no stream, and too long to be held, has gone down in part when it breaks off: no error can be
    told in it. The function ends it with trailers, and what a client sees of them, only AWS can say."""
    against.need_rehearsal()
    reply = against.gateway.ask("POST", PATH, rehearsed("huge_cut") | {"stream": False})
    is_seen = reply.trailers or not reply.clean or reply.code is not None
    return require(is_seen, f"{reply.status}, {len(reply.body)} bytes, {ended(reply)}")


def long_head(padding: int) -> Callable[[Against], str]:
    """The check of a header of so many bytes: it comes down whole, or an error in the one shape does."""

    def check(against: Against) -> str:
        against.need_rehearsal()
        reply = against.gateway.ask("POST", PATH, rehearsed("long_head", padding) | {"stream": False})
        came = reply.headers.get("cache-control", "").count("x")
        is_whole = reply.status == 200 and came == padding < LARGEST_PRELUDE
        is_refused = reply.status >= 500 and reply.code is not None
        return require(reply.clean and (is_whole or is_refused), f"{told(reply)[:40]}, {came} bytes of the header")

    return check


def prelude(against: Against) -> str:
    """Lambda wants status and headers within 16 KB. Only headers of an allow-list go down, whatever the client asks."""
    body = QUESTION | ({"model": "m" * 20_000} if against.rehearsal else {})
    reply = against.gateway.ask("POST", PATH, body)
    answered = (reply.status == 200 or reply.code is not None) and reply.head_bytes < LARGEST_PRELUDE
    return require(answered, f"{told(reply)[:40]}, head of {reply.head_bytes} bytes")


def large_frame(against: Against) -> str:
    against.need_rehearsal()
    reply = against.gateway.ask("POST", PATH, rehearsed("large"))
    return require(reply.clean and len(reply.body) > MB and reply.body.endswith(DONE), f"{len(reply.body)} bytes")


def large_answer(against: Against) -> str:
    against.need_rehearsal()
    reply = against.gateway.ask("POST", PATH, of_size(5 * MB))
    return require(reply.status == 200 and len(reply.body) > 5 * MB and reply.clean, f"{len(reply.body)} bytes")


def huge_answer(against: Against) -> str:
    """More than a buffered integration can carry; beyond 6 MB Lambda slows a stream to 2 MB a second."""
    against.need_rehearsal()
    reply = against.gateway.ask("POST", PATH, rehearsed("huge") | {"stream": False})
    seen = f"{reply.status}, {len(reply.body)} bytes in {reply.chunks[-1][0] if reply.chunks else 0:.1f} s"
    return require(reply.status == 200 and len(reply.body) > 7 * MB and reply.clean, seen)


def empty_stream(against: Against) -> str:
    """The runtime hands on one newline in place of nothing; a 204 should reach the client without it."""
    against.need_rehearsal()
    reply = against.gateway.ask("POST", PATH, rehearsed("empty") | {"stream": False})
    return require(reply.status == 204 and not reply.body.strip() and reply.clean, f"{told(reply)}, {ended(reply)}")


def leaving(against: Against) -> str:
    """No answer can tell what the function did then: its log line can, under the X-Request-Id."""
    body = rehearsed("slow", 40) if against.rehearsal else QUESTION | {"stream": True, "max_tokens": 512}
    with against.gateway.begin("POST", PATH, body) as talk:
        next(talk.chunks(), b"")
        request_id = talk.reply.headers.get("x-request-id", "?")
    after = against.gateway.ask("GET", "/v1/models")
    seen = f"the next request: {after.status} after {after.head_at:.2f} s; see stream_end in the log of {request_id}"
    return require(after.status == 200, seen)


CHECKS = [
    Check("stream", "events, [DONE], a clean end", whole),
    Check("arrival of chunks", f"as they are made: gaps under {MOST_GAP_S:g} s", arrival),
    Check("first event alone", f"seen within {FIRST_ALONE_S:g} s; of a real model, before the rest", first_alone),
    Check("silence", "a comment after about 15 s", silence),
    Check("cut stream", "an error event, no [DONE], a clean end", cut),
    Check("trailers", "none", trailers),
    Check("answer of 33 MB that is cut", "no clean end, or trailers", cut_answer),
    Check("head of 8 KB", "comes whole, or an error in the one shape", long_head(8_000)),
    Check("head of 15 KB", "comes whole, or an error in the one shape", long_head(15_000)),
    Check("head of over 16 KB", "an error in the one shape: Lambda reads no more", long_head(17_000)),
    Check("long name of a model", "an answer, its head under 16 KB", prelude),
    Check("frame of 1 MB", "comes whole", large_frame),
    Check("answer of 5 MB", "comes whole", large_answer),
    Check("answer of 7 MB", "comes whole", huge_answer),
    Check("empty answer of a stream method", "204, a clean end", empty_stream),
    Check("client that leaves", "the next request is answered", leaving),
]
