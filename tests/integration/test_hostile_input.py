"""Malicious input: the gateway rejects it with a 4xx in the common error shape and writes no forged log line."""

import http.client
import json
import re
from typing import Any

import httpx
import pytest

from tests.integration.conftest import Register
from tests.integration.test_bad_input import GOOD
from tests.local_system import LocalSystem
from tests.rehearsal import RunningTokenHub, wait_until
from tools.local import aws

PROVIDERS, CHAT = "/api/v1/providers", "/v1/chat/completions"
JSON = {"Content-Type": "application/json"}
DEEP = b'{"id": "a", "endpoint": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def field(name: str, value: Any) -> bytes:
    return json.dumps(GOOD | {name: value}).encode()


BODIES = {
    "a line break in the id": field("id", "a\r\nX-Evil: 1"),
    "a line break at the end of the id": field("id", "a\n"),
    "a look-alike in the id": field("id", "tоkenhub"),  # noqa: RUF001 — a Cyrillic o
    "the id of the registry's item": field("id", "#registry"),
    "an id of dots and slashes": field("id", "../../v1/models"),
    "a nul in the id": field("id", "a\x00b"),
    "a line break in the name": field("name", "a\nERROR forged"),
    "a line separator in the name": field("name", "a\u2028b"),
    "a terminal control sequence in the name": field("name", "a\x9b2J"),
    "a line break in the model": field("model", "a\r\nb"),
    "a line break in the endpoint": field("endpoint", "http://localhost:1/v1\r\nHost: evil"),
    "a look-alike in the endpoint": field("endpoint", "http://localhost\uff0fevil.example/v1"),
    "an address in full-width digits": field("endpoint", "http://\uff11\uff12\uff17\uff0e0\uff0e0\uff0e1:1/v1"),
    "an address with other full stops": field("endpoint", "http://127\u30020\u30020\u30021:1/v1"),
    "a user in the endpoint": field("endpoint", "http://user:secret@localhost:1/v1"),
    "a port out of range": field("endpoint", "http://localhost:99999/v1"),
    "another protocol": field("endpoint", "file:///etc/passwd"),
    "a line break in the key": field("api_key", "k\r\nX: y"),
    "a number of 5,000 digits": b'{"id": "a", "endpoint": "http://localhost:1", "heartbeat": {"max_tokens": '
    + b"9" * 5000
    + b"}}",
    "a huge number": b'{"id": "a", "endpoint": "http://localhost:1", "heartbeat": {"max_tokens": 1e999}}',
    "NaN": b'{"id": "a", "endpoint": "http://localhost:1", "heartbeat": {"max_tokens": NaN}}',
    "deep JSON": DEEP,
    "deep JSON below the parser's limit": b'{"id": ' + b"[" * 900 + b"]" * 900 + b"}",
    "a field twice": b'{"id": "a", "id": "b", "endpoint": "http://localhost:1/v1"}',
    "a field twice inside": b'{"id": "a", "endpoint": "http://localhost:1", "heartbeat": {"enabled": 1, "enabled": 0}}',
    "bytes that are not UTF-8 in a name": b'{"id": "a", "endpoint": "http://localhost:1/v1", "name": "\xff"}',
    "UTF-16": json.dumps(GOOD).encode("utf-16"),
    "a list with a provider": json.dumps([GOOD]).encode(),
    "JSON behind a byte order mark": b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
    "a form": b"id=a&endpoint=http://localhost:1/v1",
}


def error_of(response: httpx.Response) -> dict[str, Any]:
    assert 400 <= response.status_code < 500, response.text
    body = response.json()
    assert (body.keys(), body["type"]) == ({"type", "error"}, "error")
    error = body["error"]
    assert set(error) == {"message", "type", "code", "param"}
    return dict(error)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_rejects_a_hostile_registration(http: httpx.Client, body: bytes) -> None:
    response = http.post(PROVIDERS, content=body, headers=JSON)

    assert error_of(response)["code"] in ("invalid_request", "invalid_endpoint")
    assert "secret" not in response.text
    assert http.get(PROVIDERS).json() == []


@pytest.mark.parametrize(
    "kind",
    ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "application/xml", ""],
)
def test_reads_a_body_as_json_whatever_its_content_type(http: httpx.Client, kind: str) -> None:
    """`curl -d` without -H sends the content type of a form. A web page's request has an Origin and is rejected."""
    response = http.post(
        PROVIDERS, content=json.dumps(GOOD | {"heartbeat": {"enabled": False}}), headers=[("Content-Type", kind)]
    )

    assert response.status_code == 201


FORWARDED = [name for name in BODIES if name in ("deep JSON", "a field twice", "UTF-16", "NaN")]


@pytest.mark.parametrize("name", FORWARDED)
def test_rejects_a_hostile_completion(
    http: httpx.Client, register: Register, tokenhub: RunningTokenHub, name: str
) -> None:
    register(heartbeat={"enabled": False})

    assert error_of(http.post(CHAT, content=BODIES[name], headers=JSON))["code"] == "invalid_request"
    assert tokenhub.requests == []


PATHS = [
    f"{PROVIDERS}/../../../v1/models",
    f"{PROVIDERS}/%2e%2e/x",
    f"{PROVIDERS}/a%2fb",
    f"{PROVIDERS}/%23registry",
    f"{PROVIDERS}/a%0d%0aX-Evil:%201",
    f"{PROVIDERS}/a%0a",
    f"{PROVIDERS}/%00",
    f"{PROVIDERS}/%ff",
    f"{PROVIDERS}//a",
    "//api/v1/providers",
    "/v1/../api/v1/providers",
    "/v1/%2e%2e/api/v1/providers",
    "/v1//models",
    "/V1/models",
    "/v1/models;x=1",
    "/prod/v1/models",
    "/_ministack/reset",
]


def raw(system: LocalSystem, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any, str]:
    """Sends the path unchanged, where httpx would normalize it. Returns status, JSON body and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(body)
        response = connection.getresponse()
        content = response.read()
        is_json = "json" in (response.headers["Content-Type"] or "")
        return response.status, json.loads(content) if is_json and content else None, str(response.headers)
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", PATHS)
def test_rejects_path_tricks(system: LocalSystem, register: Register, method: str, path: str) -> None:
    register(heartbeat={"enabled": False})

    status, body, headers = raw(system, method, path)

    assert 400 <= status < 500
    assert set(body["error"]) == {"message", "type", "code", "param"}
    assert "X-Evil" not in headers
    assert raw(system, "GET", f"{PROVIDERS}/tokenhub")[0] == 200


def test_client_token_never_reaches_the_provider_api(system: LocalSystem, register: Register) -> None:
    register(heartbeat={"enabled": False})
    token = f"Bearer {system.token('client')}"
    paths = [path for path in PATHS if "providers" in path] + [PROVIDERS, f"{PROVIDERS}/tokenhub"]

    statuses = {path: raw(system, "GET", path, Authorization=token)[0] for path in paths}

    assert set(statuses.values()) <= {400, 403, 404}, statuses


def test_reads_a_chunked_body_and_rejects_a_broken_one(system: LocalSystem, http: httpx.Client) -> None:
    body = json.dumps(GOOD | {"heartbeat": {"enabled": False}}).encode()
    chunked = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body) + b"0\r\n\r\n"

    broken = raw(system, "POST", PROVIDERS, b"zz\r\n" + chunked, Transfer_Encoding="chunked")
    both = raw(system, "POST", PROVIDERS, chunked, Transfer_Encoding="chunked", Content_Length="5")
    whole = raw(system, "POST", PROVIDERS, chunked, Transfer_Encoding="chunked")

    assert (broken[0], both[0], whole[0]) == (400, 400, 201)


FORGED = 'x"\r\n{"level": "ERROR", "message": "forged"}\x1b[2J\u2028'


def test_clients_cannot_forge_log_lines(http: httpx.Client, register: Register, system: LocalSystem) -> None:
    register(heartbeat={"enabled": False})
    http.post(CHAT, json={"model": FORGED, "messages": [{"role": "user", "content": "hello"}]})
    http.post(PROVIDERS, json=GOOD | {"id": FORGED})
    http.post(CHAT, json={"messages": []}, headers={"X-Provider-Id": "a", "User-Agent": "\t".join("forged")})

    def shown() -> list[str]:
        return [line for line in system.output if "forged" in line]

    # The log line has the model of the request as one JSON string.
    assert wait_until(shown, 30, every=0.2)
    assert all(re.match(r"\d\d:\d\d:\d\d completions +INFO ", line) and line.isprintable() for line in shown())
    logs = aws.client("logs", system.aws_url)
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    lines = [event["message"] for group in groups for event in logs.filter_log_events(logGroupName=group)["events"]]
    assert [line for line in lines if "forged" in line]
    assert not [line for line in lines if line.startswith('{"level": "ERROR", "message": "forged"')]
