"""Checks the response framing with AWS's runtime interface emulator, which logs PANIC for bad framing. It buffers."""

import http.client
import json
import platform
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import samcli

from managed_runtime import RUNTIME_PYTHON, launch
from tests.local_system import free_ports

RAPID = Path(samcli.__file__).parent / "local/rapid"
BINARY = RAPID / f"aws-lambda-rie-{'arm64' if platform.machine() in ('aarch64', 'arm64') else 'x86_64'}"
PRELUDE = b'{"statusCode":200,"headers":{"content-type":"text/plain"}}' + bytes(8)
MAX_BODY_BYTES = 6 * 1024 * 1024 + 100 - len(PRELUDE)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(60),
    pytest.mark.skipif(platform.system() != "Linux", reason="the emulator is a Linux program"),
]

APP = """
from lambda_streaming import Response, StreamingResponse, streaming

def failing():
    yield b"begun"
    raise LookupError("a secret")

def blocks(left):
    while left > 0:
        yield b"x" * min(left, 65536)
        left -= 65536

@streaming
def handler(event, context):
    match event["do"]:
        case "raise": raise KeyError("before the first byte")
        case "empty": return Response(204)
        case "bytes": body = iter([b"a", b"", b"\\0\\r\\n\\xff", b"0\\r\\n\\r\\n", b"z" * 300])
        case "failing": body = failing()
        case "blocks": body = blocks(event["size"])
    return StreamingResponse(200, {"content-type": "text/plain"}, body, lambda: print("on_close"))
"""


@dataclass(frozen=True)
class Emulator:
    port: int
    output: Path

    def invoke(self, **event: object) -> bytes:
        """Invokes the function and returns the body. The status is not checked: most errors have status 200 too."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("POST", "/2015-03-31/functions/function/invocations", json.dumps(event))
            return connection.getresponse().read()

    @property
    def log(self) -> str:
        return self.output.read_text()


@pytest.fixture(scope="module", params=["stream", "framed"])
def emulator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("function")
    (folder / "app.py").write_text(APP)
    port, runtime_port = free_ports(2)
    command = [str(BINARY), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{runtime_port}"]
    process = launch(command, RUNTIME_PYTHON, folder, AWS_LAMBDA_FUNCTION_TIMEOUT="60", STREAM_MODE=request.param)
    try:
        _wait_for(port)
        yield Emulator(port, folder / "output")
    finally:
        # The emulator ends the function's process too.
        process.terminate()
        process.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline, "the emulator does not listen"
            time.sleep(0.02)


@pytest.fixture(autouse=True)
def check_emulator(emulator: Emulator) -> Iterator[None]:
    """Checks after each test that the function still responds and that the emulator logged no framing error."""
    yield
    assert emulator.invoke(do="bytes").startswith(PRELUDE)
    assert "PANIC" not in emulator.log.upper()
    if is_streaming(emulator):
        assert emulator.log.count("INIT START") == 1, "the function had to be started again"


def is_streaming(emulator: Emulator) -> bool:
    return "response mode stream" in emulator.log


def test_sends_prelude_delimiter_and_body_unchanged(emulator: Emulator) -> None:
    assert emulator.invoke(do="bytes") == PRELUDE + b"a\0\r\n\xff0\r\n\r\n" + b"z" * 300


def test_sends_one_byte_for_an_empty_body(emulator: Emulator) -> None:
    assert emulator.invoke(do="empty") == b'{"statusCode":204,"headers":{}}' + bytes(8) + b"\n"


def test_sends_an_error_document_before_the_first_byte(emulator: Emulator) -> None:
    error = json.loads(emulator.invoke(do="raise"))

    assert (error["errorType"], error["errorMessage"]) == ("KeyError", "'before the first byte'")


def test_ends_with_error_trailers_after_the_first_byte(emulator: Emulator) -> None:
    body = emulator.invoke(do="failing")

    if is_streaming(emulator):
        assert body == PRELUDE + b"begun"
        assert "the response body failed: LookupError" in emulator.log
    else:
        # The function has sent nothing yet when the body fails.
        assert json.loads(body)["errorType"] == "LookupError"


def test_sends_the_largest_body(emulator: Emulator) -> None:
    assert emulator.invoke(do="blocks", size=MAX_BODY_BYTES) == PRELUDE + b"x" * MAX_BODY_BYTES


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 3 * MAX_BODY_BYTES])
def test_rejects_a_larger_body(emulator: Emulator, size: int) -> None:
    error = json.loads(emulator.invoke(do="blocks", size=size))

    assert error["errorType"] == "Function.ResponseSizeTooLarge"
    # If it does not stream, the runtime client itself exits on a 413, as it does without the layer.
    if is_streaming(emulator):
        assert "the Runtime API answered 413" in emulator.log
