"""What the layer promises under any version of the real awslambdaric, against a Runtime API on real sockets."""

import base64
import json
import re
import threading
import time

import pytest

from tests.managed_runtime import Runtime, Start
from tests.rehearsal import wait_until
from tests.runtime_api import Exchange

APP = """
import threading, time
from lambda_streaming import Response, StreamingResponse, pump, streaming

def slowly():
    for number in range(5):
        yield b"%d %r;" % (number, time.monotonic())
        time.sleep(0.1)

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

def silent(until):
    yield b"begun"
    until.wait(20)

def late():
    stopped = threading.Event()
    return pump(silent(stopped), stop=stopped.set, idle=0.1, on_idle=lambda: b":", deadline=time.monotonic() + 0.5)

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
    exchange = runtime.api.invoke(do="whole")
    assert exchange.prelude == {"statusCode": 404, "headers": {"x-a": "b"}}
    assert exchange.body == b"nothing here"


class RuntimeContract:
    """Tests for a class that is named Test…; they ask for the fixture `start_runtime`."""

    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, start_runtime: Start) -> Runtime:
        return start_runtime(APP)

    def test_init_logs_the_clients_version_and_the_mode(self, runtime: Runtime) -> None:
        assert runtime.logged(", response mode stream")
        assert re.search(r"\[INFO\].*runtime client \d+\.\d+\.\d+, response mode stream\n", runtime.output.read_text())

    def test_each_chunk_arrives_before_the_next_is_produced(self, runtime: Runtime) -> None:
        exchange = runtime.api.invoke(do="slowly")

        produced = [float(chunk.split()[1].rstrip(b";")) for chunk in exchange.chunks[1:]]
        arrived = [exchange.arrived(b"%d " % number) for number in range(5)]
        assert all(here < following for here, following in zip(arrived, produced[1:], strict=False))
        assert arrived == sorted(arrived)

    def test_the_prelude_is_a_chunk_of_its_own(self, runtime: Runtime) -> None:
        exchange = runtime.api.invoke(do="slowly")

        assert exchange.chunks[0] == b'{"statusCode":200,"headers":{"content-type":"text/plain"}}' + bytes(8)
        assert exchange.raw.endswith(b"\r\n0\r\n\r\n")

    @pytest.mark.parametrize(("do", "kind"), [("raise", "KeyError"), ("split", "ValueError")])
    def test_a_failure_before_the_first_byte_is_an_invocation_error(self, runtime: Runtime, do: str, kind: str) -> None:
        exchange = runtime.api.invoke(do=do)

        assert exchange.head.splitlines()[0].endswith("/error HTTP/1.1")
        assert json.loads(exchange.raw)["errorType"] == kind
        assert_serves(runtime)

    def test_a_failure_after_the_first_byte_ends_with_trailers(self, runtime: Runtime) -> None:
        exchange = runtime.api.invoke(do="failing")

        assert exchange.body == b"begun"
        assert exchange.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.LookupError"
        told = json.loads(base64.b64decode(exchange.trailers["Lambda-Runtime-Function-Error-Body"]))
        assert told["errorType"] == "Function.LookupError"
        assert runtime.logged("the response body failed: LookupError at ")
        assert "a secret" not in runtime.output.read_text()
        assert_serves(runtime)

    def test_a_reset_closes_the_generator_and_the_next_request_is_served(self, runtime: Runtime) -> None:
        runtime.api.reset_after = 5000
        runtime.api.invoke(do="endless")

        assert runtime.logged("generator closed\non_close")
        assert_serves(runtime)

    def test_an_early_reply_closes_the_generator_and_the_next_request_is_served(self, runtime: Runtime) -> None:
        runtime.api.early_reply = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
        runtime.api.invoke(do="endless")

        assert runtime.logged("answered 413")
        assert_serves(runtime)

    def test_silence_is_filled_and_the_deadline_ends_it(self, runtime: Runtime) -> None:
        began = time.monotonic()
        exchange = runtime.api.invoke(do="late")

        assert re.fullmatch(rb"begun:{1,4}", exchange.body)
        assert exchange.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.DeadlineReached"
        assert time.monotonic() - began < 5
        assert_serves(runtime)

    def test_a_slow_reader_holds_the_generator_back(self, runtime: Runtime) -> None:
        runtime.api.pause = threading.Event()
        answers: list[Exchange] = []
        invoking = threading.Thread(target=lambda: answers.append(runtime.api.invoke(do="blocks", mebibytes=24)))
        invoking.start()
        time.sleep(0.3)
        log_while_paused = runtime.output.read_text()
        runtime.api.pause.set()
        invoking.join(10)

        assert len(answers[0].body) == 24 << 20
        before = log_while_paused.count("on_close")
        assert wait_until(lambda: runtime.output.read_text().count("on_close") > before, 5)

    def test_framed_answers_in_one_piece_with_the_same_bytes(self, start_runtime: Start) -> None:
        runtime = start_runtime(APP, STREAM_MODE="framed")
        exchange = runtime.api.invoke(do="slowly")

        assert "chunked" not in exchange.head
        assert exchange.prelude == {"statusCode": 200, "headers": {"content-type": "text/plain"}}
        assert [part.split()[0] for part in exchange.body.split(b";")[:-1]] == [b"0", b"1", b"2", b"3", b"4"]
        assert runtime.logged("response mode framed")
        assert_serves(runtime)

    def test_under_sam_local_the_answer_is_a_proxy_dict(self, start_runtime: Start) -> None:
        exchange = start_runtime(APP, AWS_SAM_LOCAL="true").api.invoke(do="whole")

        assert json.loads(exchange.raw) == {
            "statusCode": 404,
            "headers": {"x-a": "b"},
            "multiValueHeaders": {},
            "body": "nothing here",
            "isBase64Encoded": False,
        }

    def test_a_snap_started_function_restores_and_streams(self, start_runtime: Start) -> None:
        runtime = start_runtime(APP, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start")

        assert runtime.api.invoke(do="slowly").body.startswith(b"0 ")
