import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.tools.local.running_server import ERROR_MESSAGE, RunningServer, make_function, needs_runtime, serving

pytestmark = needs_runtime

PATH = "/v1/chat/completions"
LAYER = Path(__file__).parents[5] / "layers/streaming"
LAYERED_APP = """
import os, time
from lambda_streaming import StreamingResponse, streaming

def in_step():
    for number in range(3):
        yield b"%d" % number
        while not os.path.exists(f"{os.environ['LAMBDA_TASK_ROOT']}/received-{number}"):
            time.sleep(0.005)

@streaming
def handler(event, context):
    return StreamingResponse(200, {"content-type": "text/plain"}, in_step())
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving(make_function(tmp_path_factory.mktemp("function"))) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"Authorization": "Bearer client"}, timeout=30) as client:
        yield client


def run(client: httpx.Client, **plan: Any) -> httpx.Response:
    return client.post(PATH, json=plan)


def test_each_chunk_reaches_the_client_before_the_next_is_produced(client: httpx.Client, tmp_path: Path) -> None:
    received = [tmp_path / f"received-{number}" for number in range(5)]
    steps = [step for number, file in enumerate(received) for step in (["text", f"{number}"], ["wait_for", f"{file}"])]

    with client.stream("POST", PATH, json={"steps": steps}) as response:
        for number, chunk in enumerate(response.iter_raw()):
            assert chunk == b"%d" % number
            received[number].touch()

    assert all(file.exists() for file in received)


def test_sends_the_preludes_status_and_headers(client: httpx.Client) -> None:
    prelude = {
        "statusCode": 418,
        "headers": {"content-type": "text/event-stream", "x-a": "dropped", "date": "never"},
        "multiValueHeaders": {"X-A": ["1", "2"]},
        "cookies": ["c=d"],
    }

    response = run(client, prelude=prelude, steps=[["text", "hello"]])

    assert response.status_code == 418
    assert response.text == "hello"
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers.get_list("x-a") == ["1", "2"]
    assert response.headers["set-cookie"] == "c=d"
    assert response.headers["x-amzn-Remapped-date"] == "never"
    assert response.headers["date"].endswith("GMT")
    assert len(response.headers["x-amzn-RequestId"]) == 36
    assert "server" not in response.headers


def test_sends_headers_before_the_first_body_byte(client: httpx.Client, tmp_path: Path) -> None:
    received = tmp_path / "received"

    with client.stream("POST", PATH, json={"steps": [["wait_for", str(received)], ["text", "late"]]}) as response:
        received.touch()
        assert response.read() == b"late"


def test_sends_no_body_with_a_204(client: httpx.Client) -> None:
    response = run(client, prelude={"statusCode": 204}, steps=[["text", "\n"]])

    assert (response.status_code, response.content) == (204, b"")
    assert "transfer-encoding" not in response.headers


def test_large_bodies_pass_completely_in_both_directions(client: httpx.Client) -> None:
    text = "äöü" * 400_000

    assert run(client, steps=[["text", text]]).text == text


@pytest.mark.parametrize("end", [["trailers", "Function.Broken"], ["truncate", 0], ["exit", 3]])
def test_client_detects_an_interrupted_stream(client: httpx.Client, end: list[Any]) -> None:
    with client.stream("POST", PATH, json={"steps": [["text", "first"], end]}) as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"first"
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            next(chunks)

    assert run(client, steps=[["text", "again"]]).text == "again"


def test_logs_the_error_type_of_an_interrupted_stream(client: httpx.Client, server: RunningServer) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        run(client, steps=[["trailers", "Function.Unlucky"]])

    assert server.has_logged("Function.Unlucky")


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param({"returned": {"statusCode": 200, "headers": {}, "body": "x"}}, id="a plain proxy response"),
        pytest.param({"raise": "a secret"}, id="an exception"),
        pytest.param({"steps": [], "prelude": {"no": "status"}}, id="a prelude without status"),
        pytest.param({"steps": [], "prelude": {"statusCode": 200, "headers": {"Content-Length": 1}}}, id="framing"),
        pytest.param({"steps": [["text", "x"]], "prelude": {"statusCode": 200, "pad": "x" * 17000}}, id="over 16 KiB"),
        pytest.param({"returned": "x" * (6 * 1024 * 1024 + 200)}, id="a buffered response over 6 MB"),
    ],
)
def test_returns_502_for_unusable_responses(client: httpx.Client, plan: dict[str, Any]) -> None:
    response = run(client, **plan)

    assert response.status_code == 502
    assert response.json()["error"]["message"] == ERROR_MESSAGE


def test_accepts_a_buffered_response_with_a_prelude(client: httpx.Client) -> None:
    with_prelude = b'{"statusCode": 201, "headers": {"x-a": "b"}}' + bytes(8) + b"whole\x00\xff"

    response = run(client, bytes=base64.b64encode(with_prelude).decode())

    assert (response.status_code, response.headers["x-a"], response.content) == (201, "b", b"whole\x00\xff")


def test_reuses_a_free_worker(client: httpx.Client) -> None:
    run(client, steps=[])

    pids = {run(client, steps=[]).headers["x-pid"] for _ in range(5)}

    assert len(pids) == 1


def test_keeps_the_worker_after_an_exception(client: httpx.Client) -> None:
    before = run(client, steps=[]).headers["x-pid"]
    run(client, **{"raise": "x"})

    assert run(client, steps=[]).headers["x-pid"] == before


def test_logs_the_functions_output_line_by_line(client: httpx.Client, server: RunningServer) -> None:
    run(client, steps=[["print", "first: ä\nsecond"]])

    assert server.has_logged("second")
    assert "first: ä" in server.log


def test_function_receives_the_event_with_the_authorizer_context(client: httpx.Client, server: RunningServer) -> None:
    response = client.post(PATH, params={"a": "1"}, json={"echo": 1}, headers={"User-Agent": "me"})

    event = response.json()
    assert event["requestContext"]["authorizer"] == {"principalId": "client", "admin": "false"}
    assert event["requestContext"]["requestId"] == response.headers["x-amzn-RequestId"]
    assert event["requestContext"]["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "me"}
    assert event["queryStringParameters"] == {"a": "1"}
    assert json.loads(event["body"]) == {"echo": 1}


def test_function_notices_a_disconnected_client_at_its_next_write(client: httpx.Client, server: RunningServer) -> None:
    steps = [["time", 0], ["sleep", 0.02]] * 2000
    with client.stream("POST", PATH, json={"steps": steps}) as response:
        next(response.iter_raw())
    disconnected = time.monotonic()

    assert server.has_logged("the client has disconnected")
    assert time.monotonic() - disconnected < 10
    assert run(client, steps=[["text", "again"]]).text == "again"


def test_function_runs_to_its_end_when_disconnects_are_ignored(tmp_path: Path) -> None:
    steps = [["time", 0], ["sleep", 0.01]] * 30 + [["print", "last step"]]
    with serving(make_function(tmp_path), on_disconnect="ignore") as server:
        headers = {"Authorization": "Bearer client"}
        with httpx.stream("POST", server.url + PATH, headers=headers, json={"steps": steps}, timeout=30) as response:
            next(response.iter_raw())

        assert server.has_logged("last step")
        assert not any("the client has disconnected" in line for line in server.log)


@pytest.fixture(scope="module")
def short_timeout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving(make_function(tmp_path_factory.mktemp("short"), timeout_s=3)) as running:
        yield running


def test_kills_a_streaming_function_at_its_deadline(short_timeout: RunningServer) -> None:
    with httpx.Client(base_url=short_timeout.url, headers={"Authorization": "Bearer client"}, timeout=30) as client:
        run(client, steps=[])
        started = time.monotonic()
        with pytest.raises(httpx.RemoteProtocolError):
            run(client, steps=[["text", "first"], ["sleep", 60]])

        assert 2.9 < time.monotonic() - started < 15
        assert short_timeout.has_logged("Task timed out after 3.00 seconds")
        assert run(client, steps=[]).status_code == 200


def test_returns_502_for_a_silent_function_at_its_deadline(short_timeout: RunningServer) -> None:
    with httpx.Client(base_url=short_timeout.url, headers={"Authorization": "Bearer client"}, timeout=30) as client:
        run(client, steps=[])
        started = time.monotonic()

        assert run(client, sleep=60).status_code == 502
        assert 2.9 < time.monotonic() - started < 15
        assert run(client, steps=[]).status_code == 200


def test_rejects_the_stream_beyond_the_limit_and_names_the_setting(tmp_path: Path) -> None:
    headers = {"Authorization": "Bearer client"}
    started, finished = threading.Semaphore(0), threading.Event()

    def keep_open(url: str) -> None:
        plan = {"steps": [["text", "x"], ["sleep", 30]]}
        with httpx.stream("POST", url + PATH, headers=headers, json=plan, timeout=30) as response:
            next(response.iter_raw())
            started.release()
            finished.wait(30)

    with serving(make_function(tmp_path), max_workers=3) as server:
        threads = [threading.Thread(target=keep_open, args=(server.url,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert all(started.acquire(timeout=30) for _ in threads)
        response = httpx.post(server.url + PATH, headers=headers, json={"steps": []}, timeout=30)
        finished.set()
        for thread in threads:
            thread.join()

    assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
    assert response.json()["error"] == {
        "message": "The local system runs at most 3 requests on /v1 at once. Try again when one has ended, or start it "
        "with a higher limit: make dev STREAMS=6",
        "type": "rate_limit_error",
        "code": "local_limit",
        "param": None,
    }


@pytest.mark.parametrize("value", ["a\nb: c", "a\r\n\r\nHTTP/1.1 200 OK", "a\x00b", "a\rb", "\x1b", "\x7f"])
def test_header_that_cannot_be_sent_never_breaks_the_framing(server: RunningServer, value: str) -> None:
    """On a kept connection, a half-sent response would be read as a part of the next one."""
    plan = json.dumps({"prelude": {"statusCode": 200, "headers": {"x-a": value}}, "steps": [["text", "one"]]}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer client\r\nContent-Length: "
    host, port = server.url.removeprefix("http://").split(":")

    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head}{len(plan)}\r\n\r\n".encode() + plan)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65536), b""))

    first, _, second = received.partition(b"HTTP/1.1 200 OK\r\n")
    first_head, _, first_body = first.partition(b"\r\n\r\n")
    assert first_head.startswith(b"HTTP/1.1 502 ")
    assert f"Content-Length: {len(first_body)}".encode() in first_head
    assert json.loads(first_body)["error"]["message"] == ERROR_MESSAGE
    assert second.endswith(b"\r\n\r\n{}")
    assert not any(value in line for line in server.log)


def test_streaming_layer_streams_under_the_parent_watch(tmp_path: Path) -> None:
    function = make_function(tmp_path, layers=(LAYER,))
    (function.code / "app.py").write_text(LAYERED_APP)
    with serving(function, command=None) as server:
        headers = {"Authorization": "Bearer client"}
        with httpx.stream("POST", server.url + PATH, headers=headers, timeout=30) as response:
            for number, chunk in enumerate(response.iter_raw()):
                assert chunk == b"%d" % number
                (function.code / f"received-{number}").touch()

    assert response.headers["content-type"] == "text/plain"
    assert len(list(function.code.glob("received-*"))) == 3
