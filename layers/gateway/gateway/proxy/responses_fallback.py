"""Serves `/v1/responses` over chat completions where the provider has no such path."""

import json
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, Self

from gateway.core.errors import InvalidRequest
from gateway.proxy.known_errors import PATH_STATUSES
from gateway.proxy.request import ForwardRequest
from gateway.proxy.translate.chat_stream import PATH as CHAT_PATH
from gateway.proxy.upstream import Chunks, Target, UpstreamResponse
from gateway.proxy.upstream_errors import PAGE_MESSAGE, message_of, read_error_body

if TYPE_CHECKING:
    from gateway.proxy.translate.responses_request import TranslatedRequest

PATH = "/responses"
REMEMBERED_SECONDS = 600.0
# The messages of servers for a path that they do not have: Go's, Python's, Node's and OpenAI's. A server that has the
# path answers 404 too, for a model or a response that it does not know, but never with a web page.
NO_SUCH_PATH = re.compile(
    rf"(?:404:? )?(?:page |file )?not found\.?|invalid url \(post .*|route post:?/\S* not found|{PAGE_MESSAGE}|",
    re.IGNORECASE,
)


class Sender(Protocol):
    """Sends a request to a provider, like `Upstream`."""

    def forward(self, request: ForwardRequest, target: Target, *, within: float) -> UpstreamResponse: ...


class ResponsesFallback:
    """Sends requests with `upstream`. Remembers for 10 minutes which versions of providers have no `/responses`."""

    def __init__(self, upstream: Sender, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` must run while Lambda freezes the environment. The monotonic clock does not."""
        self._upstream = upstream
        self._clock = clock
        # By provider id: the version that lacks the path, and the time of its answer.
        self._without_path: dict[str, tuple[str, float]] = {}

    def forward(self, request: ForwardRequest, target: Target, *, within: float) -> UpstreamResponse:
        """Like `Upstream.forward`. Raises UnsupportedParameter for a request that cannot be translated."""
        if request.path != PATH or request.method != "POST":
            return self._upstream.forward(request, target, within=within)
        started_at = time.monotonic()
        if not self._lacks_path(target):
            response = self._upstream.forward(request, target, within=within)
            if response.status not in PATH_STATUSES:
                return response
            response, is_missing = _read_refusal(response, [target.key] if target.key else [])
            if not is_missing:
                return response
            self._without_path[target.provider_id] = target.version, self._clock()
        return self._forward_translated(request, target, within - (time.monotonic() - started_at))

    def _lacks_path(self, target: Target) -> bool:
        version, seen_at = self._without_path.get(target.provider_id, ("", float("-inf")))
        # The age is negative when the clock was set back.
        return version == target.version and 0 <= self._clock() - seen_at < REMEMBERED_SECONDS

    def _forward_translated(self, request: ForwardRequest, target: Target, within: float) -> UpstreamResponse:
        translation = _translate(request)
        chat = replace(request, path=CHAT_PATH, body=_encode(translation.chat))
        return replace(self._upstream.forward(chat, target, within=within), translation=translation)


@dataclass
class ReadChunks:
    """The chunks of a body whose first bytes were read already."""

    pieces: Iterator[bytes]
    body: Chunks

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self.pieces)

    def close(self) -> None:
        self.body.close()


def _read_refusal(response: UpstreamResponse, secrets: list[str]) -> tuple[UpstreamResponse, bool]:
    """Returns the response with its body unread, and whether it says that the provider has no such path."""
    body = read_error_body(response.chunks, secrets)
    unread = replace(response, chunks=ReadChunks(chain([body], response.chunks), response.chunks))
    if "x-negotiated-model" in response.headers:
        # TokenHub relays the answer of a model's provider.
        return unread, False
    is_missing = response.status == 405 or NO_SUCH_PATH.fullmatch(_message(body)) is not None
    if is_missing:
        response.chunks.close()
    return unread, is_missing


def _message(body: bytes) -> str:
    message = message_of(body).strip()
    try:
        content = json.loads(message)
    except (ValueError, RecursionError):
        return message
    # FastAPI answers {"detail": "Not Found"}.
    detail = content.get("detail") if isinstance(content, dict) else None
    return detail if isinstance(detail, str) else message


def _translate(request: ForwardRequest) -> "TranslatedRequest":
    # Imported by the first request that needs it, so that it does not delay the cold start.
    from gateway.proxy.translate.responses_request import translate_request

    body: dict[str, Any] = json.loads(request.body or b"{}", parse_float=_finite)
    return translate_request(body)


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        # JSON has no infinity, so the number cannot be sent on.
        raise InvalidRequest("The body has a number beyond 1.8e308. Send a smaller one.")
    return value


def _encode(chat: dict[str, Any]) -> bytes:
    try:
        return json.dumps(chat, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # A text has half of a surrogate pair, which UTF-8 cannot encode.
        return json.dumps(chat).encode()
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply. Send one with fewer levels.") from None
