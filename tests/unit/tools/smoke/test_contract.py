"""What the smoke test does where a server answers and closes before it has read a whole request."""

import pytest

from tests.raw_upstream import JSON, RawUpstream, Script, Seen
from tools.smoke.contract import insisted
from tools.smoke.wire import Gateway

LOST = Script(raw=b"", ending="close")


def answers_at(attempt: int) -> RawUpstream:
    seen: list[Seen] = []

    def play(request: Seen) -> Script:
        seen.append(request)
        return Script((b"{}",), 413, JSON, framing="length") if len(seen) >= attempt else LOST

    return RawUpstream(play)


def test_an_answer_that_was_lost_is_asked_for_again() -> None:
    with answers_at(3) as upstream:
        reply = insisted(Gateway(upstream.url, "token"), b"{}")

        assert (reply.status, len(upstream.requests)) == (413, 3)


def test_one_that_never_comes_is_told_and_not_asked_for_without_end() -> None:
    with answers_at(9) as upstream:
        with pytest.raises(ConnectionError):
            insisted(Gateway(upstream.url, "token"), b"{}")

        assert len(upstream.requests) == 5
