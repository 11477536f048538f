"""Forwards LLM requests to the provider and streams its answers."""

import base64
import os
import time
from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import urlencode

import boto3

from gateway.core.cors import Cors
from gateway.core.errors import DeadlineExceeded, GatewayError, InternalError, NotAStream
from gateway.core.redaction import Redactor
from gateway.core.sam_local import require_local_aws
from gateway.core.settings import CompletionsSettings
from gateway.core.telemetry import make_logger
from gateway.proxy.exchange import Exchange
from gateway.proxy.forwarder import Forwarder
from gateway.proxy.late_stream import HEADERS, late_stream
from gateway.proxy.reply import error_response, response_headers, rest, take
from gateway.proxy.request import ForwardRequest, read_request
from gateway.proxy.request_log import RequestLog, report
from gateway.proxy.stream import relay
from gateway.proxy.targets import TargetResolver
from gateway.proxy.upstream import Target, Upstream, UpstreamResponse
from gateway.proxy.upstream_errors import MAX_ERROR_BODY_BYTES, upstream_error
from gateway.registry.endpoint import Reach
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.store import ProviderStore
from lambda_streaming import Response, StreamingResponse, pump, streaming

settings = CompletionsSettings.from_environ(os.environ)
require_local_aws(settings)
redactor = Redactor()
logger = make_logger("completions", settings.log_level, redactor)
limits = settings.limits

providers = ProviderStore(boto3.resource("dynamodb").Table(settings.providers_table))
reach = Reach(private_networks=settings.private_networks, loopback=settings.local)
targets = TargetResolver(providers, KeyCipher(boto3.client("kms"), settings.keys_key), reach.guard_endpoint, redactor)
upstream = Upstream(limits, reach.guard_address, loopback_host=settings.loopback_host)
forwarder = Forwarder(targets, upstream)
cors = Cors(settings.allowed_origins)

SPARE_SECONDS = 2.0  # Lambda ends a function at its deadline without a word: be done before
HEAD_GRACE_SECONDS = 0.5  # for the provider's own timeout to be told first, which knows more
TOO_LATE = f"The answer was not whole after {limits.whole:g} s, the longest that the gateway waits. Ask for less."


class LambdaContext(Protocol):
    def get_remaining_time_in_millis(self) -> int: ...


@streaming
def handler(event: dict[str, Any], context: LambdaContext) -> Response | StreamingResponse:
    """A REST proxy event of a /v1 route → the provider's answer, byte for byte, or one error in the one shape."""
    seconds = min(limits.whole, context.get_remaining_time_in_millis() / 1000 - SPARE_SECONDS)
    record = RequestLog(_request(event))
    try:
        record.request = read_request(record.request)
        answer = _forward(record, _header(event, "x-provider-id"), time.monotonic() + seconds)
    except GatewayError as error:
        answer = _refuse(error, record)
    return replace(answer, headers=dict(answer.headers) | cors.headers(event.get("headers") or {}))


def _request(event: dict[str, Any]) -> ForwardRequest:
    body = event.get("body")
    if body is not None:
        body = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    elif event["httpMethod"] == "POST":
        body = b""
    return ForwardRequest(
        method=event["httpMethod"],
        path=event["resource"].removeprefix("/v1"),
        request_id=event["requestContext"]["requestId"],
        query=urlencode(event.get("multiValueQueryStringParameters") or {}, doseq=True),
        headers=event.get("headers") or {},
        body=body,
        source_ip=event["requestContext"].get("identity", {}).get("sourceIp"),
    )


def _header(event: dict[str, Any], name: str) -> str | None:
    return next((value for key, value in (event.get("headers") or {}).items() if key.lower() == name), None)


def _forward(record: RequestLog, provider_id: str | None, deadline: float) -> Response | StreamingResponse:
    exchange = Exchange(lambda: _send(record, provider_id, deadline))
    silence = limits.keep_alive or None if record.request.stream else None
    chunks = pump(
        exchange.source(),
        stop=exchange.abort,
        idle=silence,
        on_idle=exchange.keep_alive,
        deadline=deadline,
        too_late=DeadlineExceeded(TOO_LATE),
        at_once=True,
    )
    left = deadline - time.monotonic() + HEAD_GRACE_SECONDS
    if not exchange.begun(min(silence or left, left)):
        if silence is None:  # a head that comes a byte at a time: no timeout of a socket ends it
            chunks.close()
            raise DeadlineExceeded(TOO_LATE)
        headers = HEADERS | {"x-request-id": record.request.request_id}
        return _streamed(200, headers, late_stream(exchange, chunks, record), chunks, record)
    try:
        return _answer(record, *exchange.head.result(), chunks)
    except GatewayError:
        chunks.close()
        raise


def _send(record: RequestLog, provider_id: str | None, deadline: float) -> tuple[Target, UpstreamResponse]:
    try:
        return forwarder.send(record.request, provider_id, deadline=deadline, on_target=record.goes_to)
    except GatewayError:
        raise
    except Exception:
        logger.exception("unforeseen", extra={"request_id": record.request.request_id})
        raise InternalError(record.request.request_id) from None


def _answer(
    record: RequestLog, target: Target, answer: UpstreamResponse, chunks: Generator[bytes]
) -> Response | StreamingResponse:
    record.target, record.status = target, answer.status
    if answer.status >= 400:
        words, _ = take(chunks, most=MAX_ERROR_BODY_BYTES)
        chunks.close()
        return _refuse(upstream_error(answer.status, words, [target.key] if target.key else []), record, answer)
    if record.request.stream and not answer.is_stream:
        raise NotAStream  # an SDK would find no event in it, and take that for an empty answer
    if not answer.is_stream:
        return _whole(record, answer, chunks)
    return _streamed(answer.status, response_headers(record, answer), relay(chunks, record), chunks, record)


def _whole(record: RequestLog, answer: UpstreamResponse, chunks: Generator[bytes]) -> Response | StreamingResponse:
    """An answer that is no stream is read before its status goes down: a cut one is an error, not half an answer."""
    body, complete = take(chunks)
    record.count(body)
    if not complete:
        return _streamed(answer.status, response_headers(record, answer), rest(body, chunks, record), chunks, record)
    record.learn(body)
    report(record, logger, settings.metrics_namespace)
    return Response(answer.status, response_headers(record, answer), body)


def _streamed(
    status: int, headers: dict[str, str], body: Iterable[bytes], chunks: Generator[bytes], record: RequestLog
) -> StreamingResponse:
    def on_close() -> None:
        chunks.close()  # also where the client left before the first byte: `body` has not begun then
        report(record, logger, settings.metrics_namespace)

    return StreamingResponse(status, headers, body, on_close=on_close)


def _refuse(error: GatewayError, record: RequestLog, answer: UpstreamResponse | None = None) -> Response:
    record.failed(error)
    status, headers, body = error_response(error, record)
    if answer is not None and "retry-after" in answer.headers:
        headers["retry-after"] = answer.headers["retry-after"]
    report(record, logger, settings.metrics_namespace)
    return Response(status, headers, body)
