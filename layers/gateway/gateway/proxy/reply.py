"""The reply to a client: its headers, its body, and errors in the common shape."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.core.errors import GatewayError
from gateway.proxy.request_log import RequestLog
from gateway.proxy.upstream import UpstreamResponse

# A browser must not render an answer as a page.
NO_SNIFFING = {"x-content-type-options": "nosniff"}
MAX_BUFFERED_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Reply:
    """What the client receives. `stream` is None when `body` is the whole body; else it yields the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    stream: Iterator[bytes] | None = None


def response_headers(log: RequestLog, response: UpstreamResponse) -> dict[str, str]:
    """Returns the headers of a successful reply: the provider's and the gateway's."""
    ours = NO_SNIFFING | {"x-request-id": log.request.request_id} | _provider_headers(log)
    if _is_substituted(log, response):
        ours["x-model-substituted"] = "true"
    ours["server-timing"] = _server_timing(log, response)
    return dict(response.headers) | ours


def late_stream_headers(log: RequestLog) -> dict[str, str]:
    """Returns the headers of a stream that starts before the provider has sent its own."""
    plain = {"content-type": "text/event-stream", "cache-control": "no-cache"}
    return NO_SNIFFING | plain | {"x-request-id": log.request.request_id}


def error_reply(error: GatewayError, log: RequestLog, response: UpstreamResponse | None = None) -> Reply:
    """Returns an error in the common shape. `response` is the provider's response if the provider sent the error."""
    headers = {
        **NO_SNIFFING,
        **_provider_headers(log),
        "content-type": "application/json",
        "x-request-id": log.request.request_id,
        "x-error-source": error.source,
    }
    if response is not None and "retry-after" in response.headers:
        headers["retry-after"] = response.headers["retry-after"]
    if not error.retryable:
        # Otherwise the OpenAI SDK repeats a 409, 429 or 5xx twice.
        headers["x-should-retry"] = "false"
    # The Anthropic SDK expects this member.
    extra = {"type": "error"} if log.request.speaks_anthropic else {}
    return Reply(error.status, headers, json.dumps(extra | error.body()).encode())


def read_up_to(limit: int, chunks: Iterator[bytes]) -> tuple[bytes, bool]:
    """Reads until the end of the body or the chunk that exceeds `limit` bytes. Returns whether it reached the end."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > limit:
            return bytes(body), False
    return bytes(body), True


def long_body(start: bytes, rest: Iterator[bytes], log: RequestLog) -> Iterator[bytes]:
    """Yields a body that is too long to buffer: `start`, which was read already and counted, and then the rest.

    Raises a GatewayError if the body breaks off. The status has been sent by then, so that only a failed invocation
    keeps the client from taking the body for complete.
    """
    yield start
    try:
        for chunk in rest:
            log.count(chunk)
            yield chunk
    except GatewayError as error:
        log.code = error.code
        raise


def _provider_headers(log: RequestLog) -> dict[str, str]:
    if log.target is None:
        return {}
    # A failed provider is called all the same: TokenHub may have recovered since its last heartbeat.
    status = {"x-provider-status": "failed"} if log.target.status == "failed" else {}
    return {"x-provider-id": log.target.provider_id} | status


def _is_substituted(log: RequestLog, response: UpstreamResponse) -> bool:
    """Whether another model answered. TokenHub answers a request for an unknown model with one that it knows."""
    served = response.headers.get("x-negotiated-model", log.model_served)
    if "x-alias-from" in response.headers or log.model_asked in (None, "*"):
        return False
    return served is not None and served != log.model_asked


def _server_timing(log: RequestLog, response: UpstreamResponse) -> str:
    """Milliseconds until the head: how long the provider took, and what the gateway added."""
    ours = max(0.0, log.elapsed_ms() - response.waited_ms)
    return f"provider;dur={response.waited_ms:.0f}, gateway;dur={ours:.0f}"
