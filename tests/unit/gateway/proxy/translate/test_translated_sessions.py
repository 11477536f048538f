"""The headers of a translated stream, against a scripted server on a real socket."""

from dataclasses import replace
from threading import Event

import pytest

from gateway.proxy.sse import END_MARK, KEEP_ALIVE
from tests.scripted_server import END, STREAM, Cut, always, chunk
from tests.unit.gateway.anthropic_events import PING, frame, stream, text_block
from tests.unit.gateway.conftest import QUICK, MakeUpstream, Serve
from tests.unit.gateway.proxy.sessions import ASK_STREAM, Sessions, logged, stream_of
from tests.unit.gateway.streams import BODY, only_error

CLAUDE = stream(*text_block(0, "a"))


@pytest.fixture
def sessions(serve: Serve, make_upstream: MakeUpstream) -> Sessions:
    return Sessions(serve, make_upstream)


def test_a_translated_stream_has_the_header_and_the_log_field(
    sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    session = sessions.to(always(*stream_of(frame(PING), CLAUDE), END), ASK_STREAM)
    reply = session.reply()
    assert reply.stream is not None

    received = b"".join(reply.stream)
    session.close()

    assert reply.headers["x-translated"] == "anthropic"
    assert received.startswith(KEEP_ALIVE + b"data: {")
    assert received.endswith(END_MARK)
    [line] = logged(capsys)
    assert (line["translated"], line["stream_end"]) == ("anthropic", "done")
    sessions.assert_over()


def test_other_streams_lack_the_header(sessions: Sessions) -> None:
    session = sessions.to(always(*stream_of(*BODY), END), ASK_STREAM)
    reply = session.reply()
    assert reply.stream is not None

    assert b"".join(reply.stream) == b"".join(BODY)
    assert "x-translated" not in reply.headers
    session.close()


@pytest.mark.parametrize("headers_first", [True, False])
def test_sends_the_headers_before_a_late_first_event(
    sessions: Sessions, headers_first: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    kept_alive = Event()
    pieces = (STREAM, kept_alive.wait, chunk(CLAUDE)) if headers_first else (kept_alive.wait, STREAM, chunk(CLAUDE))
    session = sessions.to(always(*pieces, END), ASK_STREAM, limits=replace(QUICK, keep_alive=1), seconds=60)
    reply = session.reply()
    assert reply.stream is not None

    assert next(reply.stream) == KEEP_ALIVE
    kept_alive.set()
    received = b"".join(reply.stream)
    session.close()

    assert "x-translated" not in reply.headers
    assert received.endswith(END_MARK)
    assert logged(capsys)[0]["translated"] == "anthropic"


def test_a_break_before_the_first_event_becomes_an_error_frame(sessions: Sessions) -> None:
    session = sessions.to(always(STREAM, chunk(frame(PING)), Cut.CLOSE), ASK_STREAM)
    reply = session.reply()
    assert reply.stream is not None

    received = b"".join(reply.stream)
    session.close()

    assert reply.status == 200
    assert received.startswith(frame(PING))
    assert only_error(received)["status"] == 502
