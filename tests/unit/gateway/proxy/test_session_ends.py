"""A stream ends for the client at its end mark, whatever the provider does afterwards. Against real sockets."""

import threading
import time
from dataclasses import replace

import pytest

from gateway.proxy.sse import KEEP_ALIVE
from tests.rehearsal import wait_until
from tests.scripted_server import END, HANG, STREAM, Piece, always, chunk, in_turn
from tests.unit.gateway.conftest import QUICK, MakeUpstream, Serve
from tests.unit.gateway.proxy.sessions import ASK_STREAM, Sessions, logged, stream_of
from tests.unit.gateway.streams import BODY

MESSAGE_STOP = b'event: message_stop\ndata: {"type": "message_stop"}\n\n'


@pytest.fixture
def sessions(serve: Serve, make_upstream: MakeUpstream) -> Sessions:
    return Sessions(serve, make_upstream)


@pytest.mark.parametrize("mark", [BODY[-1], MESSAGE_STOP])
@pytest.mark.parametrize("late", [False, True])
def test_ends_at_the_end_mark_although_the_provider_keeps_the_connection_open(
    sessions: Sessions, mark: bytes, late: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    kept_alive = threading.Event()
    before: tuple[Piece, ...] = (kept_alive.wait,) if late else ()
    script = always(*before, *stream_of(*BODY[:-1], mark), HANG)
    session = sessions.to(script, ASK_STREAM, limits=replace(QUICK, keep_alive=1 if late else 0), seconds=60)
    reply = session.reply()
    assert reply.stream is not None
    if late:
        assert next(reply.stream) == KEEP_ALIVE
        kept_alive.set()

    received = b"".join(reply.stream)
    ended_at = time.monotonic()
    session.close()

    # A slow server may need further keep-alives.
    assert received.replace(KEEP_ALIVE, b"") == b"".join(BODY[:-1]) + mark
    # The provider stays silent for longer.
    assert time.monotonic() - ended_at < 10
    [line] = logged(capsys)
    assert (line["stream_end"], line.get("code")) == ("done", None)
    sessions.assert_over()
    assert wait_until(lambda: sessions.server.open_connections == 0)


def test_logs_the_request_before_it_waits_for_the_clean_end(
    sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()
    script = always(*stream_of(*BODY), ended.wait, END)
    session = sessions.to(script, ASK_STREAM, seconds=60, clean_end=30)
    reply = session.reply()
    assert reply.stream is not None
    b"".join(reply.stream)

    closing = threading.Thread(target=session.close)
    closing.start()

    assert wait_until(lambda: logged(capsys))
    assert closing.is_alive()
    ended.set()
    closing.join(30)
    assert not closing.is_alive()


def test_keeps_the_connection_where_the_provider_ends_cleanly_after_the_mark(sessions: Sessions) -> None:
    script = in_turn((*stream_of(*BODY), 1.0, chunk(b": more\n\n"), END), (*stream_of(*BODY), END))
    for _ in range(2):
        again = sessions.started
        session = sessions.again(clean_end=30) if again else sessions.to(script, ASK_STREAM, clean_end=30)
        reply = session.reply()
        assert reply.stream is not None
        assert b"".join(reply.stream) == b"".join(BODY)
        session.close()
    assert [request.connection for request in sessions.server.requests] == [1, 1]


def test_a_provider_that_pings_after_the_mark_is_left(sessions: Sessions) -> None:
    pings = [piece for _ in range(600) for piece in (chunk(b"event: ping\ndata: {}\n\n"), 0.05)]
    session = sessions.to(always(STREAM, *(chunk(frame) for frame in BODY), *pings, END), ASK_STREAM, seconds=60)
    reply = session.reply()
    assert reply.stream is not None
    assert b"".join(reply.stream) == b"".join(BODY)
    session.close()
    sessions.assert_over()
    assert wait_until(lambda: sessions.server.open_connections == 0)
