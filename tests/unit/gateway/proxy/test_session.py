"""A session against real sockets: what it returns, and that nothing stays open when it is closed."""

import gc
import json
import weakref
from dataclasses import replace
from threading import Event

import pytest

from gateway.core.errors import AnswerTruncated
from gateway.proxy.sse import KEEP_ALIVE
from tests.scripted_server import END, HANG, Cut, Script, always, answer, chunk
from tests.unit.gateway.conftest import QUICK, MakeUpstream, Serve
from tests.unit.gateway.proxy.sessions import ASK, ASK_STREAM, Sessions, logged, stream_of
from tests.unit.gateway.streams import BODY, UNFINISHED, only_error


@pytest.fixture
def sessions(serve: Serve, make_upstream: MakeUpstream) -> Sessions:
    return Sessions(serve, make_upstream)


def test_a_json_reply_is_complete_and_closes_the_session(
    sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    session = sessions.to(always(answer(body=b'{"model": "echo"}')))

    reply = session.reply()

    assert (reply.status, reply.body, reply.stream) == (200, b'{"model": "echo"}', None)
    sessions.assert_over()
    assert [line["status"] for line in logged(capsys)] == [200]


def test_a_stream_is_logged_only_when_the_session_is_closed(
    sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    session = sessions.to(always(*stream_of(*BODY), END), ASK_STREAM)

    reply = session.reply()
    assert reply.stream is not None
    assert b"".join(reply.stream) == b"".join(BODY)
    assert logged(capsys) == []

    session.close()
    session.close()
    assert [line["stream_end"] for line in logged(capsys)] == ["done"]
    sessions.assert_over()


@pytest.mark.parametrize("read", [0, 1, 2])
def test_closing_early_ends_the_connection_to_the_provider(sessions: Sessions, read: int) -> None:
    first_read = Event()
    script = always(*stream_of(UNFINISHED[0]), first_read.wait, chunk(UNFINISHED[1]), HANG)
    session = sessions.to(script, ASK_STREAM)
    reply = session.reply()
    assert reply.stream is not None
    for frame in UNFINISHED[:read]:
        assert next(reply.stream) == frame
        first_read.set()

    session.close()

    sessions.assert_over()
    first_read.set()


def test_closing_ends_a_connection_whose_head_has_not_arrived(sessions: Sessions) -> None:
    limits = replace(QUICK, keep_alive=0.1, first_byte=2.5)
    session = sessions.to(always(HANG), ASK_STREAM, limits=limits)
    reply = session.reply()
    assert reply.stream is not None
    assert next(reply.stream) == KEEP_ALIVE

    session.close()

    sessions.assert_over()


def test_a_broken_stream_ends_with_an_error_frame_and_releases_the_connection(sessions: Sessions) -> None:
    session = sessions.to(always(*stream_of(*UNFINISHED), 0.05, Cut.CLOSE), ASK_STREAM)
    reply = session.reply()
    assert reply.stream is not None

    assert only_error(b"".join(reply.stream))["code"] == "stream_truncated"

    session.close()
    sessions.assert_over()


@pytest.mark.parametrize(
    ("script", "body", "status", "code"),
    [
        (always(answer(401, b"invalid api key\n")), ASK, 401, "provider_key_refused"),
        (always(answer(200, b"<html>")), ASK_STREAM, 502, "not_a_stream"),
        (always(answer(200, b"<html>")), ASK, 502, "not_json"),
        (always(answer(204)), ASK, 502, "not_json"),
        (always(answer(body=b"0123456789")[:-4], Cut.CLOSE), ASK, 502, "answer_truncated"),
        (always(Cut.CLOSE), ASK, 502, "provider_disconnected"),
        (always(HANG), b"[]", 400, "invalid_request"),
    ],
    ids=["refused", "not a stream", "a page", "empty", "cut", "disconnected", "invalid"],
)
def test_an_error_reply_closes_the_session(
    sessions: Sessions, script: Script, body: bytes, status: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = sessions.to(script, body).reply()

    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (status, code)
    sessions.assert_over()
    assert [(line["status"], line["code"]) for line in logged(capsys)] == [(status, code)]


def test_a_long_body_that_breaks_off_raises_and_releases_the_connection(sessions: Sessions) -> None:
    long = b"[" * (33 * 1024 * 1024)
    session = sessions.to(always(answer(body=long + b"the end")[:-7], Cut.CLOSE))
    reply = session.reply()
    assert reply.stream is not None

    with pytest.raises(AnswerTruncated):
        list(reply.stream)

    session.close()
    sessions.assert_over()


def test_the_deadline_ends_an_answer_that_never_ends(sessions: Sessions) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
    reply = sessions.to(always(head, HANG), seconds=1).reply()

    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (504, "deadline")
    sessions.assert_over()


def test_the_gateways_limit_ends_an_answer_before_lambda_does(sessions: Sessions) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
    # No pause is long enough for the timeout of a silent connection.
    dripping = [piece for byte in b"[1,1,1,1]" for piece in (bytes([byte]), 0.4)]
    reply = sessions.to(always(head, *dripping), limits=replace(QUICK, whole=1), seconds=30).reply()

    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (504, "deadline")
    sessions.assert_over()


def test_a_failure_of_ours_closes_the_session_and_hides_its_text(
    sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    session = sessions.to(always(answer()))
    sessions.upstream._new_transport = lambda: 1 / 0  # type: ignore[assignment,return-value]

    reply = session.reply()

    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (500, "internal_error")
    assert "division" not in reply.body.decode()
    assert "request-1" in json.loads(reply.body)["error"]["message"]


def test_an_unexpected_error_outside_the_exchange_is_logged_as_a_500(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = sessions.to(always(answer()))
    monkeypatch.setattr("threading.Thread.start", lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        session.reply()

    assert [(line["status"], line["code"]) for line in logged(capsys)] == [(500, "internal_error")]


def test_a_closed_session_is_freed_without_the_garbage_collector(sessions: Sessions) -> None:
    session = sessions.to(always(answer(body=b"{}")))
    session.reply()
    sessions.assert_over()
    freed = weakref.ref(session)
    gc.collect()
    gc.disable()
    try:
        del session
        assert freed() is None
    finally:
        gc.enable()
