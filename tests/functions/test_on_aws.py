"""The functions on the platform AWS, where no endpoint may be a loopback address."""

import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functions.conftest import Context, Load, event
from tests.scripted_server import ScriptedServer, always, answer

NAME = "tokenhub.example.com"
# A key whose shape the redactor does not know.
KEY = "c0ffee-0123456789-abcdefghij"


@pytest.fixture(autouse=True)
def _on_aws(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM", "aws")


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A server on loopback. NAME, a public host name, resolves to its address."""
    real = socket.getaddrinfo

    def resolve(host: str, *more: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host == NAME else host, *more, **named)

    with ScriptedServer(always(answer(body=b"{}"))) as upstream:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        yield upstream


def register(load: Load, endpoint: str) -> Any:
    body = json.loads(event("register")["body"]) | {"endpoint": endpoint, "api_key": KEY}
    return load("providers").handler(event("register", body=json.dumps(body)), Context())


def test_refuses_to_register_a_loopback_endpoint(load: Load) -> None:
    result = register(load, "https://127.0.0.1:8090/v1")

    assert (result["statusCode"], json.loads(result["body"])["error"]["code"]) == (400, "invalid_endpoint")


def test_forwards_no_request_to_a_private_address(load: Load, inside: ScriptedServer) -> None:
    port = inside.url.rpartition(":")[2].removesuffix("/v1")
    assert register(load, f"https://{NAME}:{port}/v1")["statusCode"] == 201

    result = load("completions").handler(event("completion"), Context())

    assert (result["statusCode"], json.loads(result["body"])["error"]["code"]) == (502, "endpoint_refused")
    assert inside.requests == []


def test_sends_no_heartbeat_to_a_private_address(load: Load, inside: ScriptedServer) -> None:
    port = inside.url.rpartition(":")[2].removesuffix("/v1")
    register(load, f"https://{NAME}:{port}/v1")

    result = load("heartbeat").handler({"provider_id": "tokenhub", "now": True}, Context())

    assert "resolves to an address that the gateway must not call" in result["beat"]["error"]
    assert inside.requests == []


@pytest.mark.parametrize("function", ["completions", "heartbeat"])
def test_sends_no_key_to_an_endpoint_that_is_no_longer_allowed(
    load: Load, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    monkeypatch.setenv("PRIVATE_NETWORKS", "allow")
    assert register(load, f"http://{NAME}/v1")["statusCode"] == 201
    monkeypatch.setenv("PRIVATE_NETWORKS", "refuse")

    invocation = {"completions": event("completion"), "heartbeat": {"provider_id": "tokenhub", "now": True}}[function]
    result = load(function).handler(invocation, Context())

    assert f"http://{NAME}/v1 is not allowed. The endpoint uses plain http" in json.dumps(result)


@pytest.mark.parametrize("function", ["completions", "heartbeat"])
def test_logs_redact_every_decrypted_key(
    load: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], function: str
) -> None:
    # Lambda has one logger per process. Another test may have created it here.
    monkeypatch.delitem(logging.Logger.manager.loggerDict, function, raising=False)
    register(load, f"https://{NAME}/v1")
    app = load(function)
    target = app.targets.find(None)
    assert target.key == KEY

    app.logger.error("unforeseen", extra={"texts": [f"key {target.key}"]})

    output = capsys.readouterr().out
    assert "key [redacted]" in output
    assert KEY not in output
