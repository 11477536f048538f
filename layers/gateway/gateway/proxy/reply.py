"""The reply to a client: its headers, its body, and errors in the common shape."""

import codecs
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.core.answer_errors import NotJson
from gateway.core.errors import GatewayError, ProviderError
from gateway.proxy.model_names import is_substituted
from gateway.proxy.request import HINT_PATHS
from gateway.proxy.request_log import RequestLog
from gateway.proxy.upstream import UpstreamResponse
from gateway.proxy.upstream_errors import read_error_body, upstream_error

# A browser must not render a response as a page.
NO_SNIFFING = {"x-content-type-options": "nosniff"}
JSON_WHITESPACE = b" \t\r\n"
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
    ours = NO_SNIFFING | _request_ids(log) | _provider_headers(log)
    if _is_substituted(log, response):
        ours["x-model-substituted"] = "true"
    if log.translated:
        ours["x-translated"] = log.translated
    ours["server-timing"] = _server_timing(log, response)
    return dict(response.headers) | ours


def late_stream_headers(log: RequestLog) -> dict[str, str]:
    """Returns the headers of a stream that starts before the provider has sent its own."""
    plain = {"content-type": "text/event-stream", "cache-control": "no-cache"}
    return NO_SNIFFING | plain | _request_ids(log) | _provider_headers(log)


def error_reply(error: GatewayError, log: RequestLog, response: UpstreamResponse | None = None) -> Reply:
    """Returns an error in the common shape. `response` is the provider's response if the provider sent the error."""
    headers = {
        **_limits(response),
        **NO_SNIFFING,
        **_provider_headers(log),
        **_request_ids(log),
        "content-type": "application/json",
        "x-error-source": error.source,
    }
    if not error.retryable:
        # Otherwise the OpenAI SDK repeats a 409, 429 or 5xx twice.
        headers["x-should-retry"] = "false"
    elif response is not None and "x-should-retry" in response.headers:
        headers["x-should-retry"] = "true"
    return Reply(error.status, headers, json.dumps(error.body()).encode())


def provider_error(response: UpstreamResponse, chunks: Iterator[bytes], log: RequestLog) -> ProviderError:
    """Returns the error that a provider's response stands for. Reads its body, which may break off."""
    body = read_error_body(chunks, log.secrets)
    return upstream_error(response.status, body, log.secrets, headers=response.headers, path=log.provider_path)


def require_json(body: bytes) -> None:
    """Raises NotJson for a body that does not begin like a JSON object or array.

    SDKs return such a body as an answer. Content-Type proves nothing: TokenHub sends JSON as text/plain on /v1/chat.
    """
    start = body.removeprefix(codecs.BOM_UTF8).lstrip(JSON_WHITESPACE)[:1]
    if not start:
        raise NotJson("The provider's answer is empty. Check the registered endpoint and the servers in front of it.")
    if start == b"<":
        raise NotJson(
            "The provider's answer is a web page, for example the login page of a server in front of TokenHub. "
            "Register TokenHub's own address, ending in /v1."
        )
    if start not in (b"{", b"["):
        raise NotJson("The provider's answer is not JSON. Check that TokenHub listens at the registered endpoint.")


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


def _request_ids(log: RequestLog) -> dict[str, str]:
    """The Anthropic SDK reads `request-id`, the OpenAI SDK `x-request-id`."""
    return {"x-request-id": log.request.request_id, "request-id": log.request.request_id}


def _limits(response: UpstreamResponse | None) -> dict[str, str]:
    """Returns the headers of an error response that tell the client when to try again."""
    headers = {} if response is None else response.headers
    return {name: value for name, value in headers.items() if name.startswith("retry-after") or "-ratelimit-" in name}


def _provider_headers(log: RequestLog) -> dict[str, str]:
    if log.target is None:
        return {}
    # A failed provider is called all the same: TokenHub may have recovered since its last heartbeat.
    status = {"x-provider-status": "failed"} if log.target.status == "failed" else {}
    return {"x-provider-id": log.target.provider_id} | status


def _is_substituted(log: RequestLog, response: UpstreamResponse) -> bool:
    """Whether another model answered. TokenHub answers a request for an unknown model with one that it knows."""
    if "x-alias-from" in response.headers or log.request.path in HINT_PATHS:
        return False
    return is_substituted(log.model_asked, response.headers.get("x-negotiated-model"), log.model_served)


def _server_timing(log: RequestLog, response: UpstreamResponse) -> str:
    """Milliseconds until the head: how long the provider took, and what the gateway added."""
    ours = max(0.0, log.elapsed_ms() - response.waited_ms)
    return f"provider;dur={response.waited_ms:.0f}, gateway;dur={ours:.0f}"
