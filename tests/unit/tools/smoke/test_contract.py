"""Retries of the smoke test when a server responds and closes before it has read the whole request."""

import pytest

from tests.scripted_server import Cut, Pieces, Request, ScriptedServer, answer
from tools.smoke.contract import request_with_retries
from tools.smoke.wire import Gateway


def responds_at(attempt: int) -> ScriptedServer:
    """A server that closes the connection of each earlier attempt without a response."""
    received: list[Request] = []

    def play(request: Request) -> Pieces:
        received.append(request)
        return (answer(413, b"{}"),) if len(received) >= attempt else (Cut.CLOSE,)

    return ScriptedServer(play)


def test_retries_after_a_lost_response() -> None:
    with responds_at(3) as upstream:
        response = request_with_retries(Gateway(upstream.url, "token"), b"{}")

        assert (response.status, len(upstream.requests)) == (413, 3)


def test_gives_up_after_five_lost_responses() -> None:
    with responds_at(9) as upstream:
        with pytest.raises(ConnectionError):
            request_with_retries(Gateway(upstream.url, "token"), b"{}")

        assert len(upstream.requests) == 5
