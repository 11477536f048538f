"""Retries of the smoke test when a server responds and closes before it has read the whole request."""

import pytest

from tests.raw_upstream import JSON, RawUpstream, Script, Seen
from tools.smoke.contract import request_with_retries
from tools.smoke.wire import Gateway

LOST = Script(raw=b"", ending="close")


def responds_at(attempt: int) -> RawUpstream:
    actual: list[Seen] = []

    def play(request: Seen) -> Script:
        actual.append(request)
        return Script((b"{}",), 413, JSON, framing="length") if len(actual) >= attempt else LOST

    return RawUpstream(play)


def test_retries_after_a_lost_response() -> None:
    with responds_at(3) as upstream:
        response = request_with_retries(Gateway(upstream.url, "token"), b"{}")

        assert (response.status, len(upstream.requests)) == (413, 3)


def test_gives_up_after_five_lost_responses() -> None:
    with responds_at(9) as upstream:
        with pytest.raises(ConnectionError):
            request_with_retries(Gateway(upstream.url, "token"), b"{}")

        assert len(upstream.requests) == 5
