"""The functions with what they are given on AWS, where no endpoint may be a loopback address."""

import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functions.conftest import Context, Load, event
from tests.raw_upstream import JSON, RawUpstream, Script

NAME = "tokenhub.example.com"
KEY = "c0ffee-0123456789-abcdefghij"  # of no shape that a redactor could know


@pytest.fixture(autouse=True)
def _on_aws(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM", "aws")


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Iterator[RawUpstream]:
    """A server on loopback that a public name leads to."""
    real = socket.getaddrinfo

    def resolve(host: str, *more: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host == NAME else host, *more, **named)

    with RawUpstream(lambda _: Script((b"{}",), headers=JSON)) as upstream:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        yield upstream


def register(load: Load, endpoint: str) -> Any:
    body = json.loads(event("register")["body"]) | {"endpoint": endpoint, "api_key": KEY}
    return load("providers").handler(event("register", body=json.dumps(body)), Context())


def test_no_loopback_endpoint_is_registered(load: Load) -> None:
    answer = register(load, "https://127.0.0.1:8090/v1")

    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (400, "invalid_endpoint")


def test_a_name_that_leads_inside_gets_no_request(load: Load, inside: RawUpstream) -> None:
    port = inside.url.rpartition(":")[2].removesuffix("/v1")
    assert register(load, f"https://{NAME}:{port}/v1")["statusCode"] == 201

    answer = load("completions").handler(event("completion"), Context())

    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (502, "endpoint_refused")
    assert inside.requests == []


def test_a_name_that_leads_inside_gets_no_heartbeat(load: Load, inside: RawUpstream) -> None:
    port = inside.url.rpartition(":")[2].removesuffix("/v1")
    register(load, f"https://{NAME}:{port}/v1")

    answer = load("heartbeat").handler({"provider_id": "tokenhub", "now": True}, Context())

    assert "resolves to an address that the gateway must not call" in answer["beat"]["error"]
    assert inside.requests == []


@pytest.mark.parametrize("function", ["completions", "heartbeat"])
def test_what_was_registered_under_laxer_rules_gets_no_key(
    load: Load, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    monkeypatch.setenv("PRIVATE_NETWORKS", "allow")
    assert register(load, f"http://{NAME}/v1")["statusCode"] == 201
    monkeypatch.setenv("PRIVATE_NETWORKS", "refuse")

    asked = {"completions": event("completion"), "heartbeat": {"provider_id": "tokenhub", "now": True}}[function]
    answer = load(function).handler(asked, Context())

    assert f"http://{NAME}/v1 is not allowed. The endpoint uses plain http" in json.dumps(answer)


@pytest.mark.parametrize("function", ["completions", "heartbeat"])
def test_the_functions_own_log_takes_out_each_key_that_was_decrypted(
    load: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], function: str
) -> None:
    # Lambda makes one in a process; here another test may have, which would stay.
    monkeypatch.delitem(logging.Logger.manager.loggerDict, function, raising=False)
    register(load, f"https://{NAME}/v1")
    app = load(function)
    target = app.targets.find(None)
    assert target.key == KEY

    app.logger.error("unforeseen", extra={"words": [f"said {target.key}"]})

    assert "said [redacted]" in (written := capsys.readouterr().out)
    assert KEY not in written
