"""Relays streams to the client: whole frames, and an error frame where the stream breaks."""

import time
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from itertools import chain

from gateway.core.errors import (
    DeadlineExceeded,
    GatewayError,
    NotAStream,
    ProviderError,
    StreamIdleTimeout,
    StreamTruncated,
)
from gateway.proxy.error_frames import error_frame, failed_response_frame
from gateway.proxy.exchange import Exchange
from gateway.proxy.reply import provider_error
from gateway.proxy.request_log import RequestLog, StreamEnd
from gateway.proxy.responses_answer import response_builder
from gateway.proxy.responses_fallback import PATH as RESPONSES_PATH
from gateway.proxy.sse import KEEP_ALIVE, StreamWatcher
from gateway.proxy.translate.anthropic import AnthropicTranslator
from gateway.proxy.translate.chat_stream import PATH as CHAT_PATH
from gateway.proxy.translate.chat_stream import ChatStream
from gateway.proxy.translate.responses_stream import ResponsesStream
from gateway.proxy.upstream_errors import STREAM_ERROR_CODE, stream_error

type Output = ChatStream | ResponsesStream


def relay(chunks: Iterable[bytes], log: RequestLog) -> Generator[bytes]:
    """Yields the provider's whole frames up to the end mark: unchanged, or translated to OpenAI's chunks.

    `chunks` raises a GatewayError where the stream breaks. The stream then ends with one error frame and without
    `[DONE]`, and nothing is raised. Closing this generator means that the client has left.
    """
    watcher, output = StreamWatcher(log.request.choices), _output(log)
    log.stream_end = "client_gone"
    try:
        yield from _frames(chunks, watcher, output, log)
        log.stream_end = "done"
    except GatewayError as broken:
        if buffered := output.release():
            log.count(buffered)
            yield buffered
        error = _reported_error(watcher, log) or broken
        log.stream_end, log.code = stream_end(error), error.code
        yield output.last_frame(error) or _last_frame(error, watcher, log)
    finally:
        if output.translated:
            log.translated = "anthropic"
        _record_end(watcher, output, log)


def relay_late(exchange: Exchange, chunks: Iterator[bytes], log: RequestLog) -> Generator[bytes]:
    """Yields a stream whose 200 was sent before the provider's head arrived.

    Starts with a keep-alive comment. A response that is not a stream becomes an error frame.
    """
    log.status, log.stream_end = 200, "client_gone"
    yield KEEP_ALIVE
    yield from relay(_checked_stream(exchange, chunks, log), log)


def stream_end(error: GatewayError) -> StreamEnd:
    """Returns how a stream ended that raised this error."""
    if isinstance(error, StreamTruncated):
        return "truncated"
    if isinstance(error, StreamIdleTimeout):
        return "idle_timeout"
    return "deadline" if isinstance(error, DeadlineExceeded) else "error"


def _frames(chunks: Iterable[bytes], watcher: StreamWatcher, output: Output, log: RequestLog) -> Iterator[bytes]:
    for chunk in chunks:
        if chunk is KEEP_ALIVE:
            if watcher.between_frames:
                yield chunk
            continue
        yield from _counted(output.feed(watcher.feed(chunk)), log)
        if watcher.done or output.done:
            # The provider may keep the connection open.
            break
    else:
        yield from _counted(output.feed(watcher.end()), log)
        if not watcher.whole_at_end() or (watcher.error and not watcher.done):
            raise StreamTruncated
    yield from _counted([output.end()], log)


def _counted(pieces: Iterable[bytes], log: RequestLog) -> Iterator[bytes]:
    for piece in pieces:
        if piece:
            log.count(piece)
            yield piece


def _output(log: RequestLog) -> Output:
    if log.request.path != RESPONSES_PATH:
        return ChatStream(_translator(log), path=log.request.path)
    return ResponsesStream(ChatStream(_translator(log), path=CHAT_PATH), partial(response_builder, log))


def _translator(log: RequestLog) -> AnthropicTranslator:
    include_usage = log.request.include_usage
    reported_error = partial(stream_error, secrets=log.secrets)
    return AnthropicTranslator(created=int(time.time()), include_usage=include_usage, stream_error=reported_error)


def _last_frame(error: GatewayError, watcher: StreamWatcher, log: RequestLog) -> bytes:
    """Returns the frame that ends a broken stream in the format of the path."""
    if log.request.path != RESPONSES_PATH:
        return error_frame(error, mid_frame=watcher.mid_frame)
    response_id = watcher.response_id or f"resp_{log.request.request_id}"
    return failed_response_frame(error, response_id, watcher.next_sequence_number, mid_frame=watcher.mid_frame)


def _record_end(watcher: StreamWatcher, output: Output, log: RequestLog) -> None:
    if watcher.done and log.stream_end == "client_gone":
        # The client left as soon as it had read the end mark.
        log.stream_end = "done"
    if watcher.error and log.code is None:
        log.stream_end, log.code = "error", STREAM_ERROR_CODE
    log.usage = watcher.usage
    log.model_served = watcher.model
    log.response_id = output.response_id or watcher.completion_id
    log.finish_reasons = watcher.finish_reasons


def _reported_error(watcher: StreamWatcher, log: RequestLog) -> ProviderError | None:
    """Returns the error that a frame of the stream reported: the cause, where the stream then broke."""
    if not watcher.error:
        return None
    return stream_error(watcher.error, log.secrets)


def _checked_stream(exchange: Exchange, chunks: Iterator[bytes], log: RequestLog) -> Iterator[bytes]:
    """Yields the chunks, keep-alives included. Raises a GatewayError if the head is not that of a stream."""
    # Stays empty where the body is empty.
    first = b""
    for chunk in chunks:
        if chunk is not KEEP_ALIVE:
            first = chunk
            break
        yield chunk
    _check_head(exchange, chain([first], chunks), log)
    yield first
    # `yield from` would close the chunks with this generator, and with them the connection to the provider.
    for chunk in chunks:
        yield chunk


def _check_head(exchange: Exchange, body: Iterator[bytes], log: RequestLog) -> None:
    log.target, response = exchange.head.result()
    log.provider_ms = round(response.waited_ms)
    log.set_translation(response.translation)
    if not 200 <= response.status < 300:
        raise provider_error(response, body, log)
    if not response.is_stream:
        raise NotAStream
