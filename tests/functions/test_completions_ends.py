"""Requests whose provider ends the response early, late or never."""

import json
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from gateway.core.errors import AnswerTruncated
from tests.functions.conftest import Context, Load, event
from tests.rehearsal import RunningTokenHub
from tests.scripted_server import JSON, ScriptedServer, always, response

MESSAGES = [{"role": "user", "content": "Hello"}]


def test_ends_a_cut_stream_with_an_error_and_without_done(
    register: Any, complete: Any, tokenhub: RunningTokenHub
) -> None:
    register()
    tokenhub.rehearse("cut_clean")

    status, _, body = complete()

    assert status == 200
    assert b"[DONE]" not in body
    last = body.decode().strip().split("\n\n")[-1]
    data, event = last.split("\n")
    assert event == "event: error"
    assert data.startswith('data: {"error": {')
    assert json.loads(data.removeprefix("data: "))["error"]["code"] == "stream_truncated"


def test_returns_504_when_the_answer_exceeds_the_deadline(
    register: Any, monkeypatch: pytest.MonkeyPatch, load: Load
) -> None:
    monkeypatch.setenv("WHOLE_SECONDS", "2.5")
    app = load("completions")
    with ScriptedServer(always(*response((b"{",), headers=JSON, ending="hang"))) as upstream:
        register(endpoint=upstream.url)
        result = app.handler(event("completion", body=json.dumps({"messages": MESSAGES})), Context())

    assert (result["statusCode"], json.loads(result["body"])["error"]["code"]) == (504, "deadline")


def test_returns_before_lambdas_deadline_when_the_head_dribbles(
    register: Any, complete: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Context, "get_remaining_time_in_millis", lambda _: 5_000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=dribble, args=(server,), daemon=True).start()
        register(endpoint=f"http://127.0.0.1:{server.getsockname()[1]}/v1")
        began = time.monotonic()

        status, _, body = complete({"messages": MESSAGES})

    assert (status, json.loads(body)["error"]["code"]) == (504, "deadline")
    # The head takes 30 seconds.
    assert time.monotonic() - began < 10


def dribble(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection, suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(300):
            connection.sendall(b"x")
            time.sleep(0.1)


def test_fails_and_logs_a_long_answer_that_breaks_off(
    register: Any, complete: Any, caplog: pytest.LogCaptureFixture
) -> None:
    register()
    caplog.clear()

    with pytest.raises(AnswerTruncated):
        complete({"model": "rehearse/huge_cut", "messages": MESSAGES})

    [line] = [vars(record) for record in caplog.records]
    assert (line["status"], line["code"]) == (200, "answer_truncated")
    assert line["bytes"] > 33 * 1024 * 1024


def test_keeps_the_text_of_an_unexpected_error_in_the_log(
    register: Any, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    register()
    app = load("completions")

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("arn:aws:kms:us-east-1:123456789012:key/1")

    monkeypatch.setattr(app.forwarder, "send", fail)
    result = app.handler(event("completion"), Context())

    assert (result["statusCode"], json.loads(result["body"])["error"]["code"]) == (500, "internal_error")
    assert "arn:" not in result["body"]
