"""Checks of streams on arrival. Only AWS can show most of this, above all whether it delays small chunks."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tools.smoke.check import Check, Failed, Target, require
from tools.smoke.contract import CHAT_REQUEST, MB, chat_body_of_size, describe
from tools.smoke.wire import Exchange, Response

PATH = "/v1/chat/completions"
DONE = b"data: [DONE]\n\n"
# The rehearsal mode `slow` sends one token every 0.2 s. Two longer gaps are allowed, because a network may stall.
SLOW_WORDS = 20
MAX_GAP_S = 0.3
MAX_STALLS = 2
# Includes a cold start.
MAX_FIRST_EVENT_S = 5.0
# The range around the default of KeepAliveSeconds, 15.
KEEP_ALIVE_RANGE_S = (10.0, 20.0)
COUNTING_REQUEST: dict[str, Any] = {
    "stream": True,
    "max_tokens": 128,
    "messages": [{"role": "user", "content": "Count from one to thirty in words."}],
}
MAX_PRELUDE_BYTES = 16 * 1024


def rehearsal_request(mode: str, words: int = 10) -> dict[str, Any]:
    text = " ".join(f"word{number}" for number in range(words))
    return {"model": f"rehearse/{mode}", "stream": True, "messages": [{"role": "user", "content": text}]}


def describe_end(response: Response) -> str:
    """Describes the number of chunks, whether the response is complete, and its trailers."""
    trailers = f", trailers {'; '.join(response.trailers)}" if response.trailers else ""
    return f"{len(response.chunks)} chunks, {'complete' if response.complete else 'INCOMPLETE'}{trailers}"


def complete_stream(target: Target) -> str:
    response = target.gateway.request("POST", PATH, CHAT_REQUEST | {"stream": True, "max_tokens": 64})
    require(response.status == 200, describe(response))
    is_complete = response.body.endswith((DONE, b'"message_stop"}\n\n')) and response.complete
    return require(
        is_complete and "text/event-stream" in response.headers.get("content-type", ""), describe_end(response)
    )


def chunk_timing(target: Target) -> str:
    """Checks the gaps of the rehearsal's stream. Of a real model, checks only that it did not arrive all at once."""
    request = rehearsal_request("slow", SLOW_WORDS) if target.is_rehearsal else COUNTING_REQUEST
    response = target.gateway.request("POST", PATH, request)
    require(response.status == 200 and len(response.chunks) > 1, describe_end(response))
    times = [arrived for arrived, _ in response.chunks]
    gaps = [after - before for before, after in pairwise(times)]
    stalls = sum(gap > MAX_GAP_S for gap in gaps)
    actual = (
        f"{len(times)} chunks, first after {times[0]:.2f} s, last after {times[-1]:.2f} s, "
        f"{stalls} gaps over {MAX_GAP_S:g} s, longest {max(gaps):.2f} s"
    )
    if target.is_rehearsal:
        return require(len(times) >= SLOW_WORDS / 2 and stalls <= MAX_STALLS, actual)
    return require(times[-1] - times[0] > 0.1 * times[-1], actual)


def first_event(target: Target) -> str:
    """Checks that the first event arrives before the second is sent. Of a real model, reports the time between them."""
    if not target.is_rehearsal:
        return first_event_lead(target)
    with target.gateway.start("POST", PATH, rehearsal_request("hang_after_first")) as exchange:
        for data in exchange.chunks():
            if b"word0" in data:
                arrived = exchange.response.chunks[-1][0]
                return require(arrived < MAX_FIRST_EVENT_S, f"arrived after {arrived:.2f} s, before any other event")
        raise Failed(describe_end(exchange.response))


def first_event_lead(target: Target) -> str:
    """Reports how long after the first event the second one arrives. Raises Failed if they arrive together."""
    response = target.gateway.request("POST", PATH, COUNTING_REQUEST)
    events = [(arrived, data.count(b"data:")) for arrived, data in response.chunks if b"data:" in data]
    require(response.status == 200 and len(events) > 1, f"{describe(response)[:60]}, {describe_end(response)}")
    (first, count), (second, _) = events[:2]
    return f"{count} after {first:.2f} s, the next {second - first:.2f} s later"


def keep_alive(target: Target) -> str:
    target.require_rehearsal()
    with target.gateway.start("POST", PATH, rehearsal_request("hang")) as exchange:
        first = next(exchange.chunks(), b"")
        arrived = exchange.response.chunks[-1][0] if exchange.response.chunks else 0.0
        in_range = KEEP_ALIVE_RANGE_S[0] < arrived < KEEP_ALIVE_RANGE_S[1]
        return require(first == b": keep-alive\n" and in_range, f"{first[:40]!r} after {arrived:.1f} s")


def truncated_stream(target: Target) -> str:
    target.require_rehearsal()
    response = target.gateway.request("POST", PATH, rehearsal_request("cut_clean"))
    reports_error = response.body.endswith(b"\nevent: error\n\n") and b"[DONE]" not in response.body
    return require(reports_error and response.complete, describe_end(response))


def trailers(target: Target) -> str:
    """The gateway reports an error in the stream itself, so it sends no trailers."""
    modes = ("normal", "cut_clean") if target.is_rehearsal else ("",)
    bodies = [rehearsal_request(mode) if mode else CHAT_REQUEST | {"stream": True} for mode in modes]
    lines = [line for body in bodies for line in target.gateway.request("POST", PATH, body).trailers]
    return require(not lines, "; ".join(lines) or "none")


def truncated_large_response(target: Target) -> str:
    """Cuts a response that is too large for the gateway to buffer, after its first part has been sent.

    The gateway cannot report an error in the body any more. The function ends it with the trailers of a failed
    response, and only AWS shows what a client sees of them. If the connection is cut, a failed response after the
    error frame of a stream would cut it too, which the AI SDK's `textStream` would notice.
    """
    target.require_rehearsal()
    with target.gateway.start("POST", PATH, rehearsal_request("huge_cut") | {"stream": False}) as exchange:
        end, response = read_to_the_end(exchange), exchange.response
    is_detectable = response.trailers or not response.complete or response.error_code is not None
    return require(is_detectable, f"{response.status}, {len(response.body)} bytes, {describe_end(response)}: {end}")


def read_to_the_end(exchange: Exchange) -> str:
    """Reads the whole response. Returns how the server ended it."""
    try:
        for _ in exchange.chunks():
            pass
    except ConnectionResetError:
        return "the connection was reset"
    if not exchange.response.complete:
        return "the connection was closed before the end of the body"
    return "ended with trailers" if exchange.response.trailers else "ended like a complete response"


def long_headers(padding: int) -> Callable[[Target], str]:
    """Returns the check that a response whose header has `padding` bytes arrives complete, without that header.

    The gateway drops it: Lambda accepts status and headers up to 16 KB.
    """

    def check(target: Target) -> str:
        target.require_rehearsal()
        response = target.gateway.request("POST", PATH, rehearsal_request("long_head", padding) | {"stream": False})
        received = response.headers.get("cache-control", "").count("x")
        is_answer = response.status == 200 and b'"choices"' in response.body
        return require(
            response.complete and is_answer and received == 0,
            f"{describe(response)[:40]}, {received} bytes of the header",
        )

    return check


def long_model_name(target: Target) -> str:
    """Lambda accepts status and headers up to 16 KB. A long model name in the request must not exceed that."""
    body = CHAT_REQUEST | ({"model": "m" * 20_000} if target.is_rehearsal else {})
    response = target.gateway.request("POST", PATH, body)
    is_valid = (response.status == 200 or response.error_code is not None) and response.head_bytes < MAX_PRELUDE_BYTES
    return require(is_valid, f"{describe(response)[:40]}, head of {response.head_bytes} bytes")


def large_event(target: Target) -> str:
    target.require_rehearsal()
    response = target.gateway.request("POST", PATH, rehearsal_request("large"))
    return require(
        response.complete and len(response.body) > MB and response.body.endswith(DONE), f"{len(response.body)} bytes"
    )


def large_response(target: Target) -> str:
    target.require_rehearsal()
    response = target.gateway.request("POST", PATH, chat_body_of_size(5 * MB))
    return require(
        response.status == 200 and len(response.body) > 5 * MB and response.complete, f"{len(response.body)} bytes"
    )


def huge_response(target: Target) -> str:
    """More than a buffered integration supports. Beyond 6 MB, Lambda limits a stream to 2 MB a second."""
    target.require_rehearsal()
    response = target.gateway.request("POST", PATH, rehearsal_request("huge") | {"stream": False})
    actual = (
        f"{response.status}, {len(response.body)} bytes in {response.chunks[-1][0] if response.chunks else 0:.1f} s"
    )
    return require(response.status == 200 and len(response.body) > 7 * MB and response.complete, actual)


def empty_response(target: Target) -> str:
    """A provider's empty response becomes an error, because SDKs would return it as an answer."""
    target.require_rehearsal()
    response = target.gateway.request("POST", PATH, rehearsal_request("empty") | {"stream": False})
    is_error = (response.status, response.error_code) == (502, "not_json")
    return require(is_error and response.complete, f"{describe(response)}, {describe_end(response)}")


def client_disconnect(target: Target) -> str:
    """Disconnects during a stream and sends another request. The function's log line shows how the stream ended."""
    body = rehearsal_request("slow", 40) if target.is_rehearsal else CHAT_REQUEST | {"stream": True, "max_tokens": 512}
    with target.gateway.start("POST", PATH, body) as exchange:
        next(exchange.chunks(), b"")
        request_id = exchange.response.headers.get("x-request-id", "?")
    after = target.gateway.request("GET", "/v1/models")
    next_request = f"the next request: {after.status} after {after.head_after_s:.2f} s"
    actual = f"{next_request}; see stream_end in the log line of {request_id}"
    return require(after.status == 200, actual)


CHECKS = [
    Check("stream", "events, [DONE], complete", complete_stream),
    Check("chunk timing", f"gaps under {MAX_GAP_S:g} s, except for {MAX_STALLS}", chunk_timing),
    Check("first event", f"within {MAX_FIRST_EVENT_S:g} s; from a real model, before the rest", first_event),
    Check("keep-alive", "a comment after about 15 s", keep_alive),
    Check("truncated stream", "an error event, no [DONE], complete", truncated_stream),
    Check("trailers", "none", trailers),
    Check("truncated response of 33 MB", "incomplete, or trailers", truncated_large_response),
    Check("headers of 8 KB", "complete, without the header", long_headers(8_000)),
    Check("headers of 15 KB", "complete, without the header", long_headers(15_000)),
    Check("headers over 16 KB", "complete, without the header", long_headers(17_000)),
    Check("long model name", "a response with headers under 16 KB", long_model_name),
    Check("event of 1 MB", "complete", large_event),
    Check("response of 5 MB", "complete", large_response),
    Check("response of 7 MB", "complete", huge_response),
    Check("empty response", "502 not_json, complete", empty_response),
    Check("client disconnect", "the next request succeeds", client_disconnect),
]
