import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.rehearsal import KEY, RunningTokenHub, chat_body, wait_until
from tools.rehearsal.server import loopback_host

CHAT = "/v1/chat/completions"
BEARER = {"Authorization": f"Bearer {KEY}"}
ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("path", ["/", "/line%0Abreak", "/v1/responses", "/v1/models/echo", "/v1/chat/completions/"])
def test_unknown_path_returns_404_in_plain_text(client: httpx.Client, path: str) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer.content) == (404, b"404 page not found\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_wrong_method_returns_405_without_a_body(client: httpx.Client) -> None:
    answer = client.get(CHAT)

    assert (answer.status_code, answer.content, answer.headers["allow"]) == (405, b"", "POST")
    assert "content-type" not in answer.headers


def test_rejects_a_body_over_10_mb_as_invalid_json(client: httpx.Client) -> None:
    answer = client.post(CHAT, content=b" " * (10 * 1024 * 1024 + 1))

    assert answer.json()["error"]["message"] == "invalid JSON: http: request body too large"


def test_responds_to_any_json(client: httpx.Client) -> None:
    for body in ("[]", "7", '{"messages":7}', '{"messages":[7]}', '{"messages":[{"content":7}],"model":7,"n":"x"}'):
        assert client.post(CHAT, content=body).status_code in (200, 400), body
    lone_surrogate = client.post(CHAT, content=rb'{"messages":[{"role":"user","content":"\ud83d"}]}')
    assert lone_surrogate.status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic x"}, {"Authorization": "Bearer"}])
def test_rejects_requests_without_a_key(client_without_key: httpx.Client, headers: dict[str, str]) -> None:
    answer = client_without_key.post(CHAT, json=chat_body(), headers=headers)

    assert (answer.status_code, answer.content) == (401, b"authorization required\n")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_accepts_x_api_key_without_a_bearer_token(client_without_key: httpx.Client) -> None:
    assert client_without_key.post(CHAT, json=chat_body(), headers={"x-api-key": KEY}).status_code == 200


def test_strict_mode_checks_the_key_format(client_without_key: httpx.Client) -> None:
    with RunningTokenHub(strict_keys=True) as strict:
        answers = [
            client_without_key.post(f"{strict.url}{CHAT}", json=chat_body(), headers={"x-api-key": key})
            for key in (KEY, "tokenhub_short", "tokenhub_" + "0f" * 32)
        ]

    assert [answer.status_code for answer in answers] == [401, 401, 200]
    assert [answer.text for answer in answers[:2]] == ["invalid api key format\n", "invalid api key\n"]


def test_mode_applies_to_the_requested_number_of_requests(tokenhub: RunningTokenHub, client: httpx.Client) -> None:
    response = client.put("/_rehearse", json={"mode": "panic", "times": 2})
    assert (response.json()["mode"], response.json()["times"]) == ("panic", 2)

    client.get("/v1/models")
    statuses = [client.post(CHAT, json=chat_body()).status_code for _ in range(3)]

    assert statuses == [500, 500, 200]
    assert client.get("/_rehearse").json()["mode"] == "normal"
    assert [request.path for request in tokenhub.requests] == ["/v1/models", CHAT, CHAT, CHAT]


def test_mode_applies_to_one_path_until_deleted(client: httpx.Client) -> None:
    client.put("/_rehearse", json={"mode": "panic", "path": "/v1/models"})

    assert client.post(CHAT, json=chat_body()).status_code == 200
    assert client.get("/v1/models").status_code == 500
    assert client.delete("/_rehearse").json()["mode"] == "normal"
    assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"mode": "slwo"}, "unknown mode 'slwo'; use one of: normal, slow"),
        ({}, "unknown mode None"),
        ({"mode": ["slow"]}, "unknown mode"),
        ({"mode": "slow", "times": 0}, "times must be an integer"),
        ({"mode": "slow", "delay_ms": "1"}, "delay_ms must be a number"),
        ({"mode": "slow", "path": "/v2"}, "path must be null or one of: /healthz"),
        ({"mode": "slow", "speed": 1}, "unknown fields: speed; use only: mode, times, delay_ms, path"),
    ],
)
def test_rejects_an_invalid_rehearsal_and_lists_allowed_values(
    client: httpx.Client, body: dict[str, Any], message: str
) -> None:
    answer = client.put("/_rehearse", json=body)

    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_rejects_an_unknown_mode_in_the_model_name(client: httpx.Client) -> None:
    answer = client.post(CHAT, json=chat_body(model="rehearse/slwo"))

    assert answer.status_code == 400
    assert "use one of: normal, slow" in answer.json()["error"]["message"]


def test_model_hint_selects_a_mode_on_the_own_chat_route(client: httpx.Client) -> None:
    response = client.post("/v1/chat", json={"request": chat_body(model_hint="rehearse/no_providers")})

    assert (response.status_code, response.json()) == (502, {"error": "no eligible models registered"})


def test_records_requests_and_logs_neither_key_nor_text(tokenhub: RunningTokenHub, client: httpx.Client) -> None:
    started = time.monotonic()
    client.post(f"{CHAT}?key={KEY}", json=chat_body("secret words"), headers={"X-Request-ID": "r-3"})

    [request] = tokenhub.requests
    assert (request.method, request.path, request.headers["authorization"]) == ("POST", CHAT, f"Bearer {KEY}")
    assert json.loads(request.body) == chat_body("secret words")
    assert started < request.received_at < time.monotonic()
    # The log line follows the response, so a line of the previous test may still arrive here.
    assert wait_until(lambda: f"POST {CHAT} 200 normal r-3" in tokenhub.log)
    assert not [line for line in tokenhub.log if KEY in line or "secret" in line]


def test_stops_during_a_hanging_stream_and_restarts_on_its_port() -> None:
    with RunningTokenHub() as tokenhub, httpx.Client(base_url=tokenhub.url, headers=BEARER, timeout=30) as client:
        url = tokenhub.url
        with client.stream("POST", CHAT, json=chat_body(model="rehearse/hang_after_first", stream=True)) as answer:
            next(answer.iter_raw())
            started = time.monotonic()
            tokenhub.stop()
            assert time.monotonic() - started < 10
        with pytest.raises(httpx.ConnectError):
            client.get("/healthz")

        tokenhub.start()
        assert tokenhub.url == url
        assert client.get("/healthz").status_code == 200
        assert len(tokenhub.requests) == 2


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_process_during_a_hanging_stream(signal_number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tools.rehearsal.server", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[-1]
            body = chat_body(model="rehearse/hang_after_first", stream=True)
            with httpx.stream("POST", f"{url}/chat/completions", json=body, headers=BEARER, timeout=30) as answer:
                next(answer.iter_raw())
                started = time.monotonic()
                process.send_signal(signal_number)
                assert process.wait(timeout=30) == 0
                assert time.monotonic() - started < 10
            assert "hang_after_first" in process.stdout.read()
        finally:
            process.kill()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.test"])
def test_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match=host):
        loopback_host(host)
    assert loopback_host("127.0.0.1") == "127.0.0.1"


def test_reports_a_port_in_use_in_one_line(tokenhub: RunningTokenHub) -> None:
    command = [sys.executable, "-m", "tools.rehearsal.server", "--port", tokenhub.url.rsplit(":", 1)[1]]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)

    assert result.returncode == 1
    assert re.fullmatch(r"The rehearsal TokenHub cannot listen on 127\.0\.0\.1:\d+: .*\n", result.stderr)
