"""Handles one forwarded request, from its arrival to the last byte of its reply."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from aws_lambda_powertools import Logger

from gateway.core.errors import DeadlineExceeded, GatewayError, InternalError, NotAStream
from gateway.proxy import request_log
from gateway.proxy.exchange import Exchange
from gateway.proxy.forwarder import Forwarder
from gateway.proxy.reply import (
    MAX_BUFFERED_BYTES,
    Reply,
    error_reply,
    late_stream_headers,
    long_body,
    provider_error,
    read_up_to,
    require_json,
    response_headers,
)
from gateway.proxy.request import ForwardRequest, read_request, with_metadata
from gateway.proxy.request_log import RequestLog
from gateway.proxy.responses_answer import JSON_CONTENT, whole_response
from gateway.proxy.settings import Limits
from gateway.proxy.stream import relay, relay_late
from gateway.proxy.translate.chat_stream import PATH as CHAT_PATH
from gateway.proxy.translate.chat_stream import read_first_event
from gateway.proxy.upstream import Target, UpstreamResponse
from lambda_streaming import SECONDS_BEFORE_LAMBDA_ENDS, Pump, connect_early

# The session ends before the streaming layer stops sending, so that the client still receives the error frame.
SPARE_SECONDS = SECONDS_BEFORE_LAMBDA_ENDS + 0.5
# The provider's own timeout has the more precise message, so it gets this much time to be raised first.
HEAD_GRACE_SECONDS = 0.5


@dataclass(frozen=True)
class Environment:
    """The objects that all sessions of an execution environment share.

    A provider that ends its response within `clean_end_seconds` after the end mark keeps its connection open for the
    next request. The client does not wait for it.
    """

    forwarder: Forwarder
    limits: Limits
    logger: Logger
    metrics_namespace: str
    clean_end_seconds: float = 0.5


class Session:
    """Forwards one request and returns its reply.

    The order is: `reply()`, then the reply's stream, if it has one, then `close()`. A reply without a stream has
    closed its session. The thread of the `Pump` sends the request and reads the response; it closes the response
    when it ends, and `close()` ends it.
    """

    def __init__(self, environment: Environment, request: ForwardRequest, *, seconds_left: float) -> None:
        """`seconds_left` is the time until Lambda ends the invocation. The reply ends `SPARE_SECONDS` before that."""
        self._environment = environment
        self._deadline = time.monotonic() + min(environment.limits.whole, seconds_left - SPARE_SECONDS)
        self._log = RequestLog(request)
        # No reference to the session: in a cycle, only the garbage collector would free the request and the key.
        self._exchange = Exchange(partial(_send, environment, self._log, self._deadline))
        self._chunks: Pump | None = None
        self._closed = False

    def reply(self) -> Reply:
        """Sends the request and returns the reply. Every GatewayError becomes an error reply."""
        try:
            reply = self._reply()
        except BaseException:
            self._log.set_error(InternalError(self._log.request.request_id))
            self.close()
            raise
        if reply.stream is None:
            self.close()
        return reply

    def close(self) -> None:
        """Writes the log line and the metrics, then ends the exchange with the provider. Repeated calls do nothing."""
        if self._closed:
            return
        self._closed = True
        request_log.write(self._log, self._environment.logger, self._environment.metrics_namespace)
        if self._chunks is not None:
            at_end_mark = self._log.stream_end in ("done", "error")
            self._chunks.close(grace=self._environment.clean_end_seconds if at_end_mark else 0)

    def _reply(self) -> Reply:
        try:
            # Before the body is read, so that the line of an invalid request has the labels too.
            self._log.request = with_metadata(self._log.request)
            self._log.request = read_request(self._log.request)
            self._chunks = chunks = self._start()
            # The other thread waits for the provider meanwhile.
            connect_early()
            if not self._exchange.wait_for_head(self._head_timeout()):
                return self._late_reply(chunks)
            return self._reply_to_head(*self._exchange.head.result(), chunks)
        except GatewayError as error:
            return self._error_reply(error)

    def _start(self) -> Pump:
        """Starts the thread that sends the request and reads the response. Returns the response's chunks."""
        chunks = Pump(
            self._exchange.chunks(),
            stop=self._exchange.abort,
            idle=self._keep_alive_seconds(),
            on_idle=self._exchange.keep_alive,
            deadline=self._deadline,
            deadline_error=self._deadline_exceeded(),
        )
        chunks.start()
        return chunks

    def _keep_alive_seconds(self) -> float | None:
        """Returns the silence before a keep-alive, in seconds. None means no keep-alive, as does a limit of 0."""
        return self._environment.limits.keep_alive or None if self._log.request.stream else None

    def _head_timeout(self) -> float:
        remaining = self._deadline - time.monotonic() + HEAD_GRACE_SECONDS
        return min(self._keep_alive_seconds() or remaining, remaining)

    def _deadline_exceeded(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"The answer was not complete within {self._environment.limits.whole:g} s, the gateway's limit. "
            "Request a shorter answer."
        )

    def _late_reply(self, chunks: Pump) -> Reply:
        if self._keep_alive_seconds() is None:
            # Only a head that arrives byte by byte gets here: no socket timeout ends it.
            raise self._deadline_exceeded()
        return Reply(200, late_stream_headers(self._log), stream=relay_late(self._exchange, chunks, self._log))

    def _reply_to_head(self, target: Target, response: UpstreamResponse, chunks: Pump) -> Reply:
        self._log.target, self._log.status = target, response.status
        self._log.provider_ms = round(response.waited_ms)
        self._log.set_translation(response.translation)
        if not 200 <= response.status < 300:
            return self._error_reply(provider_error(response, chunks, self._log), response)
        if response.is_stream:
            return self._stream_reply(response, chunks)
        if self._log.request.stream:
            # An SDK would find no event in the answer and return an empty completion.
            raise NotAStream
        return self._complete_reply(response, chunks)

    def _stream_reply(self, response: UpstreamResponse, chunks: Iterator[bytes]) -> Reply:
        """Waits for the first event of a chat stream: it decides whether the headers name a translation."""
        if self._log.request.path == CHAT_PATH:
            is_anthropic, chunks = read_first_event(chunks, self._keep_alive_seconds())
            self._log.translated = "anthropic" if is_anthropic else None
        return Reply(response.status, response_headers(self._log, response), stream=relay(chunks, self._log))

    def _complete_reply(self, response: UpstreamResponse, chunks: Pump) -> Reply:
        """Reads the body before the status is sent, so that a body that breaks off becomes an error."""
        body, complete = read_up_to(MAX_BUFFERED_BYTES, chunks)
        require_json(body)
        if response.translation is not None:
            return self._translated_reply(response, body)
        self._log.count(body)
        if not complete:
            headers = response_headers(self._log, response)
            return Reply(response.status, headers, stream=long_body(body, chunks, self._log))
        self._log.read_answer(body)
        return Reply(response.status, response_headers(self._log, response), body)

    def _translated_reply(self, response: UpstreamResponse, completion: bytes) -> Reply:
        self._log.read_answer(completion)
        body = whole_response(completion, self._log)
        self._log.count(body)
        return Reply(response.status, response_headers(self._log, response) | JSON_CONTENT, body)

    def _error_reply(self, error: GatewayError, response: UpstreamResponse | None = None) -> Reply:
        self._log.set_error(error)
        return error_reply(error, self._log, response)


def _send(environment: Environment, log: RequestLog, deadline: float) -> tuple[Target, UpstreamResponse]:
    provider_id = log.request.provider_id
    try:
        return environment.forwarder.send(log.request, provider_id, deadline=deadline, on_target=log.set_target)
    except GatewayError:
        raise
    except Exception:
        environment.logger.exception("unforeseen", extra={"request_id": log.request.request_id})
        raise InternalError(log.request.request_id) from None
