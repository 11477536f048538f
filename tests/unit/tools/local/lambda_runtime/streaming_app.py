"""A streaming function for the API server's tests. It runs the plan in the request's body, over a raw socket."""

import base64
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

LambdaRuntimeClient: Any = import_module("awslambdaric.lambda_runtime_client").LambdaRuntimeClient
ROOT = "/2018-06-01/runtime/invocation"
original_post = LambdaRuntimeClient.post_invocation_result


def handler(event: dict[str, Any], context: Any) -> Any:
    plan = json.loads(event["body"] or "{}")
    match plan:
        case {"sleep": seconds}:
            return time.sleep(seconds)
        case {"raise": message}:
            raise RuntimeError(message)
        case {"bytes": encoded}:
            return base64.b64decode(encoded)
        case {"returned": value}:
            return value
        case {"echo": _}:
            return {"steps": [["text", json.dumps(event)]], "prelude": {"statusCode": 200}}
        case _:
            return {"prelude": {"statusCode": 200, "headers": {"x-pid": str(os.getpid())}}, **plan}


def post(client: Any, request_id: str, result: str | bytes, *rest: Any) -> None:
    plan = json.loads(result) if isinstance(result, str) else None
    if not isinstance(plan, dict) or "steps" not in plan:
        original_post(client, request_id, result, *rest)
        return
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            connection.sendall(head(request_id))
            send(connection, json.dumps(plan["prelude"]).encode() + bytes(8))
            end = run(connection, plan["steps"])
            connection.sendall(end)
            connection.recv(1000) if end else None
        except OSError as error:
            print_line(f"the client has disconnected: {type(error).__name__}")


def head(request_id: str) -> bytes:
    return (
        f"POST {ROOT}/{request_id}/response HTTP/1.1\r\nHost: localhost\r\n"
        "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
    ).encode()


def run(connection: socket.socket, steps: list[list[Any]]) -> bytes:
    """Runs the steps and returns the end of the body, or b"" for a truncated one."""
    actions: dict[str, Callable[[Any], object]] = {
        "text": lambda value: send(connection, value.encode()),
        "time": lambda _: send(connection, b"%r" % time.monotonic()),
        "sleep": time.sleep,
        "print": print_line,
        "wait_for": wait_for,
        "exit": os._exit,
    }
    for name, value in steps:
        if name == "truncate":
            return b""
        if name == "trailers":
            return f"0\r\nLambda-Runtime-Function-Error-Type: {value}\r\n\r\n".encode()
        actions[name](value)
    return b"0\r\n\r\n"


def wait_for(path: str) -> None:
    """Waits until a test has created the file. A test that does not create it runs into the function's timeout."""
    while not os.path.exists(path):  # noqa: PTH110 (pathlib would lengthen the cold start)
        time.sleep(0.005)


def print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(b"%x\r\n%b\r\n" % (len(data), data))


LambdaRuntimeClient.post_invocation_result = post
