"""What goes down to the client: the headers of an answer, an error in the one shape, a body that is read whole."""

import json
from collections.abc import Generator, Iterator

from gateway.core.errors import GatewayError
from gateway.proxy.request_log import RequestLog
from gateway.proxy.upstream import UpstreamResponse

NO_SNIFFING = {"x-content-type-options": "nosniff"}  # a browser takes no answer for a page
MAX_BUFFERED_BYTES = 32 * 1024 * 1024


def response_headers(record: RequestLog, answer: UpstreamResponse) -> dict[str, str]:
    """The provider's headers that may pass, and ours."""
    ours = NO_SNIFFING | {"x-request-id": record.request.request_id} | _provider(record)
    if _substituted(record, answer):
        ours["x-model-substituted"] = "true"
    ours["server-timing"] = _timing(record, answer)
    return dict(answer.headers) | ours


def _provider(record: RequestLog) -> dict[str, str]:
    """Which one it is; a failed one is called all the same, because TokenHub may just have come back."""
    if record.target is None:
        return {}
    status = {"x-provider-status": "failed"} if record.target.status == "failed" else {}
    return {"x-provider-id": record.target.provider_id} | status


def _substituted(record: RequestLog, answer: UpstreamResponse) -> bool:
    """Whether another model served than was asked: TokenHub answers an unknown model by one that it knows."""
    served = answer.headers.get("x-negotiated-model", record.model_served)
    if "x-alias-from" in answer.headers or record.model_asked in (None, "*"):
        return False
    return served is not None and served != record.model_asked


def _timing(record: RequestLog, answer: UpstreamResponse) -> str:
    """Milliseconds to the head of the answer: the provider's, and what the gateway added."""
    ours = max(0.0, record.elapsed_ms() - answer.waited_ms)
    return f"provider;dur={answer.waited_ms:.0f}, gateway;dur={ours:.0f}"


def error_response(error: GatewayError, record: RequestLog) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an error. The Anthropic SDK looks for a `type` beside it."""
    headers = {
        **NO_SNIFFING,
        **_provider(record),
        "content-type": "application/json",
        "x-request-id": record.request.request_id,
        "x-error-source": error.source,
    }
    if not error.retryable:
        headers["x-should-retry"] = "false"  # the OpenAI SDK tries a 409, 429 and 5xx twice more otherwise
    body = error.body()
    beside = {"type": "error"} if record.request.path == "/messages" else {}
    return error.status, headers, json.dumps(beside | body).encode()


def take(chunks: Iterator[bytes], most: int = MAX_BUFFERED_BYTES) -> tuple[bytes, bool]:
    """The body up to its end, or up to the chunk that passes `most` bytes; and whether that was all."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > most:
            return bytes(body), False
    return bytes(body), True


def rest(held: bytes, chunks: Iterator[bytes], record: RequestLog) -> Generator[bytes]:
    """What was held of a body, then the chunks that follow it. One that breaks off raises: where the status has gone
    down and no error can be told in the answer, Lambda must hear of it, and the client get no clean end."""
    yield held
    try:
        for chunk in chunks:
            record.count(chunk)
            yield chunk
    except GatewayError as error:
        record.code = error.code
        raise
