"""Streams that the relay has translated or passed on, cut at every byte of the upstream's recording."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.core.errors import StreamTruncated
from gateway.proxy.request_log import RequestLog
from gateway.proxy.stream import relay
from gateway.proxy.translate.responses_request import TranslatedRequest
from tests.recordings import Recording
from tests.scripted_server import Ending
from tests.sdk_outcomes import TRUNCATED
from tests.unit.gateway.builders import a_request

CHAT, RESPONSES = "/chat/completions", "/responses"


@dataclass(frozen=True)
class Cut:
    """The relayed `body` of the first `length` bytes of a recording, and what a client must make of it."""

    length: int
    body: bytes
    expected: str


def cuts(
    recording: Recording, path: str, ending: Ending, translation: TranslatedRequest | None = None
) -> Iterator[Cut]:
    """Returns one cut for each length, the whole recording included. `path` is the route that the client called.

    With a `translation`, the recording is a chat completion that the gateway answers as a Response.
    """
    for length in range(len(recording.content) + 1):
        expected = recording.says if recording.is_whole(length, ending) else TRUNCATED
        yield Cut(length, _relayed(recording.content[:length], path, ending, translation), expected)


def _relayed(stream: bytes, path: str, ending: Ending, translation: TranslatedRequest | None) -> bytes:
    def chunks() -> Iterator[bytes]:
        yield stream
        if ending != "clean":
            raise StreamTruncated

    log = RequestLog(a_request(stream=True, path=path))
    log.set_translation(translation)
    return b"".join(relay(chunks(), log))
