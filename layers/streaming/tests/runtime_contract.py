"""The streaming layer's contract under every version of the real awslambdaric, on real sockets."""

import base64
import json
import re
import threading
import time

import pytest

from managed_runtime import Runtime, Start
from runtime_api import Post, ignore

APP = """
import os, threading, time
from lambda_streaming import Response, StreamingResponse, Pump, streaming

def slowly():
    for number in range(5):
        yield b"%d;" % number
        time.sleep(0.1)

def in_step():
    for number in range(5):
        yield b"%d;" % number
        give_up_at = time.monotonic() + 30
        while not os.path.exists(f"received-{number}"):
            if time.monotonic() > give_up_at:
                raise TimeoutError
            time.sleep(0.005)

def failing():
    yield b"begun"
    raise LookupError("a secret")

def endless():
    try:
        while True:
            yield b"x" * 1000
            time.sleep(0.002)
    finally:
        print("generator closed")

def silent(stopped):
    yield b"begun"
    stopped.wait(60)

def late():
    stopped = threading.Event()
    return Pump(silent(stopped), stop=stopped.set, idle=0.4, on_idle=lambda: b":", deadline=time.monotonic() + 3)

def blocks(mebibytes):
    yield from (b"x" * 65536 for _ in range(16 * mebibytes))

@streaming
def handler(event, context):
    match event["do"]:
        case "raise": raise KeyError("before the first byte")
        case "split": return StreamingResponse(200, {"x": "a\\r\\nb"}, slowly())
        case "whole": return Response(404, {"x-a": "b"}, b"nothing here")
        case "blocks": body = blocks(event["mebibytes"])
        case name: body = globals()[name]()
    return StreamingResponse(200, {"content-type": "text/plain"}, body, lambda: print("on_close"))
"""


def assert_serves(runtime: Runtime) -> None:
    """Asserts that the runtime handles another request."""
    post = runtime.api.invoke(do="whole")
    assert post.prelude == {"statusCode": 404, "headers": {"x-a": "b"}}
    assert post.body == b"nothing here"


class RuntimeContract:
    """Tests to inherit in a class named Test…. They use the fixture `start_runtime`."""

    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, start_runtime: Start) -> Runtime:
        return start_runtime(APP)

    def test_init_logs_client_version_and_mode(self, runtime: Runtime) -> None:
        assert runtime.logged(", response mode stream")
        assert re.search(r"\[INFO\].*runtime client \d+\.\d+\.\d+, response mode stream\n", runtime.output.read_text())

    def test_sends_each_chunk_before_the_next_is_produced(self, runtime: Runtime) -> None:
        def confirm(data: bytes) -> None:
            for number in re.findall(rb"(\d);", data):
                (runtime.output.parent / f"received-{number.decode()}").touch()

        runtime.api.on_read = confirm

        # The function produces a chunk only after the Runtime API has received the one before.
        assert runtime.api.invoke(do="in_step").body == b"0;1;2;3;4;"
        runtime.api.on_read = ignore

    def test_sends_the_prelude_as_a_separate_chunk(self, runtime: Runtime) -> None:
        post = runtime.api.invoke(do="slowly")

        assert post.chunks[0] == b'{"statusCode":200,"headers":{"content-type":"text/plain"}}' + bytes(8)
        assert post.raw.endswith(b"\r\n0\r\n\r\n")

    @pytest.mark.parametrize(("do", "error_type"), [("raise", "KeyError"), ("split", "ValueError")])
    def test_exception_before_the_first_byte_fails_the_invocation(
        self, runtime: Runtime, do: str, error_type: str
    ) -> None:
        post = runtime.api.invoke(do=do)

        assert post.head.splitlines()[0].endswith("/error HTTP/1.1")
        assert json.loads(post.raw)["errorType"] == error_type
        assert_serves(runtime)

    def test_exception_after_the_first_byte_ends_with_trailers(self, runtime: Runtime) -> None:
        post = runtime.api.invoke(do="failing")

        assert post.body == b"begun"
        assert post.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.LookupError"
        description = json.loads(base64.b64decode(post.trailers["Lambda-Runtime-Function-Error-Body"]))
        assert description["errorType"] == "Function.LookupError"
        assert runtime.logged("the response body failed: LookupError at ")
        assert "a secret" not in runtime.output.read_text()
        assert_serves(runtime)

    def test_serves_the_next_request_after_a_reset(self, runtime: Runtime) -> None:
        runtime.api.reset_after = 5000
        runtime.api.invoke(do="endless")

        assert runtime.logged("generator closed\non_close")
        assert_serves(runtime)

    def test_serves_the_next_request_after_an_early_reply(self, runtime: Runtime) -> None:
        runtime.api.early_reply = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
        runtime.api.invoke(do="endless")

        assert runtime.logged("answered 413")
        assert_serves(runtime)

    def test_sends_keep_alives_until_the_deadline(self, runtime: Runtime) -> None:
        started = time.monotonic()
        post = runtime.api.invoke(do="late")

        assert re.fullmatch(rb"begun:{1,7}", post.body)
        assert post.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.DeadlineReached"
        assert time.monotonic() - started < 15
        assert_serves(runtime)

    def test_generator_waits_for_a_slow_reader(self, runtime: Runtime) -> None:
        runtime.api.pause = threading.Event()
        posts: list[Post] = []
        invoking = threading.Thread(target=lambda: posts.append(runtime.api.invoke(do="blocks", mebibytes=24)))
        invoking.start()
        time.sleep(0.3)
        log_while_paused = runtime.output.read_text()
        runtime.api.pause.set()
        invoking.join(30)

        assert len(posts[0].body) == 24 << 20
        assert runtime.logged("on_close", times=log_while_paused.count("on_close") + 1)

    def test_framed_mode_sends_the_same_bytes_in_one_piece(self, start_runtime: Start) -> None:
        runtime = start_runtime(APP, STREAM_MODE="framed")
        post = runtime.api.invoke(do="slowly")

        assert "chunked" not in post.head
        assert post.prelude == {"statusCode": 200, "headers": {"content-type": "text/plain"}}
        assert post.body == b"0;1;2;3;4;"
        assert runtime.logged("response mode framed")
        assert_serves(runtime)

    def test_returns_a_proxy_dict_under_sam_local(self, start_runtime: Start) -> None:
        post = start_runtime(APP, AWS_SAM_LOCAL="true").api.invoke(do="whole")

        assert json.loads(post.raw) == {
            "statusCode": 404,
            "headers": {"x-a": "b"},
            "multiValueHeaders": {},
            "body": "nothing here",
            "isBase64Encoded": False,
        }

    def test_streams_after_a_snapstart_restore(self, start_runtime: Start) -> None:
        runtime = start_runtime(APP, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start")

        assert runtime.api.invoke(do="slowly").body.startswith(b"0;")
