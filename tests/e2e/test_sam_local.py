"""`sam local` as a daily tool: the functions in their containers, on the local AWS of a running system."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from openai import OpenAI

from tests import sam_local
from tests.deployed_system import DeployedSystem
from tests.e2e.bootstrap import filled_in, run
from tests.local_system import LocalSystem, free_ports
from tests.rehearsal import wait_until
from tests.template import ROOT
from tools.local.sam_local import docker_bridge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

START = "start Docker, and make dev or make aws"
KEY = "your-tokenhub-api-key"
ONE = "/api/v1/providers/tokenhub"
BELOW = (ONE, f"{ONE}/heartbeats", f"{ONE}/uptime", f"{ONE}/incidents", f"{ONE}/models", "/api/v1/openapi.json")
# TokenHub answers 404 on the routes that it does not serve.
UNSERVED = ("model", "legacy_completion", "count_tokens", "anthropic_model", "anthropic_count_tokens")
# The sample events whose status is not 200. A preflight is rejected because the stack allows no origins.
PUBLIC = ("status_public_data", "status_feed", "status_badge", "status_shields", "status_live")
OTHER_STATUSES = {"preflight": 403, "delete": 204} | dict.fromkeys((*UNSERVED, *PUBLIC), 404)
EVENTS = sorted((ROOT / "events").glob("*.json"))


@pytest.fixture(scope="module")
def system() -> Iterator[LocalSystem]:
    if reason := sam_local.trouble():
        pytest.skip(reason)
    sam_local.build()
    with DeployedSystem() as running:
        yield running


@dataclass(frozen=True)
class Api:
    """A running `sam local start-api` that uses the local AWS of the system."""

    url: str
    output: list[str]
    system: LocalSystem

    def call(self, method: str, path: str, role: str | None = "admin", **more: Any) -> httpx.Response:
        token = self.system.token(role) if role in ("admin", "client") else role
        headers = ({"Authorization": f"Bearer {token}"} if token else {}) | more.pop("headers", {})
        return httpx.request(method, self.url + path, headers=headers, timeout=60, trust_env=False, **more)

    def register(self, **changes: Any) -> httpx.Response:
        provider = {"id": "tokenhub", "endpoint": f"{self.system.tokenhub_url}/v1", "model": "echo", "api_key": KEY}
        return self.call("POST", "/api/v1/providers", json=provider | changes)


@pytest.fixture(scope="module")
def api(system: LocalSystem) -> Iterator[Api]:
    [port] = free_ports(1)
    with sam_local.start_api(system.state / "env.json", port) as output:
        yield Api(f"http://127.0.0.1:{port}", output, system)


@contextmanager
def rehearsed(system: LocalSystem, mode: str) -> Iterator[None]:
    url = f"{system.tokenhub_url}/_rehearse"
    httpx.put(url, json={"mode": mode}).raise_for_status()
    try:
        yield
    finally:
        httpx.delete(url).raise_for_status()


def test_registers_lists_and_beats_a_provider(api: Api) -> None:
    assert api.register().status_code in (200, 201)

    def healthy() -> bool:
        return [provider["status"] for provider in api.call("GET", "/api/v1/providers").json()] == ["healthy"]

    assert wait_until(healthy, limit=45, every=1)
    assert KEY not in api.call("GET", "/api/v1/providers").text


def test_bootstrap_script_registers_the_provider(api: Api, tmp_path: Path) -> None:
    script, admin = filled_in(tmp_path, api.system), api.system.token("admin")

    done = run(script, api.url, GATEWAY_TOKEN=admin)
    refused = run(script, api.url, GATEWAY_TOKEN="wrong")
    with rehearsed(api.system, "refuse_key"):
        wrong_key = run(script, api.url, key="tokenhub_wrong", GATEWAY_TOKEN=admin)

    assert (done.returncode, done.stdout) == (0, "tokenhub is healthy.\n"), done.stderr
    assert refused.returncode == 1
    assert (wrong_key.returncode, "tokenhub failed: HTTP 401" in wrong_key.stderr) == (1, True)


def test_openai_sdk_reads_a_buffered_stream(api: Api) -> None:
    api.register()
    with OpenAI(base_url=f"{api.url}/v1", api_key=api.system.token(), max_retries=0) as client:
        stream = client.chat.completions.create(
            model="echo", messages=[{"role": "user", "content": "Grüße, 東京"}], stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    assert text == "Grüße, 東京"


def test_returns_the_providers_json_answer(api: Api) -> None:
    api.register()
    response = api.call("GET", "/v1/models", "client")

    assert response.status_code == 200
    assert "echo" in {model["id"] for model in response.json()["data"]}
    assert response.headers["x-provider-id"] == "tokenhub"


def test_function_errors_have_the_one_shape(api: Api) -> None:
    api.register()
    unknown = api.call("GET", "/api/v1/providers/nobody")
    invalid = api.register(endpoint="ftp://example.com")
    with rehearsed(api.system, "refuse_key"):
        refused = api.call("POST", "/v1/chat/completions", "client", json={"model": "echo", "messages": []})

    for response, status, code in (
        (unknown, 404, "provider_not_found"),
        (invalid, 400, "invalid_endpoint"),
        (refused, 401, "provider_key_refused"),
    ):
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
        assert set(response.json()["error"]) == {"message", "type", "code", "param"}


def test_authorizer_guards_every_route_except_health_and_the_status_page(api: Api) -> None:
    assert api.call("GET", "/health", None).json() == {"status": "ok"}
    assert api.call("HEAD", "/health", None).status_code == 200
    assert api.call("GET", "/status", None).text.startswith("<!DOCTYPE html>")
    assert api.call("GET", "/status/data", "client").status_code == 200
    for path in ("/api/v1/providers", *BELOW, "/v1/models", "/status/data"):
        assert api.call("GET", path, None).status_code == 401
        assert api.call("GET", path, "wrong").status_code == 403
    assert api.call("GET", "/api/v1/providers", "client").status_code == 403


def test_anthropic_routes_read_x_api_key(api: Api) -> None:
    api.register()
    path = "/anthropic/v1/models"

    assert api.call("GET", path, None, headers={"x-api-key": api.system.token("client")}).status_code == 200
    assert api.call("GET", path, None, headers={"x-api-key": "wrong"}).status_code == 403
    assert api.call("GET", path, None).status_code == 401


def test_containers_stay_warm(api: Api) -> None:
    def started() -> int:
        assert api.call("GET", "/health", None).status_code == 200
        assert api.call("GET", "/v1/models", "client").status_code in (200, 503)
        return sum("SAM_CONTAINER_ID" in line for line in api.output)

    assert started() == started() >= 3


def test_relays_listen_on_the_bridge_only(system: LocalSystem) -> None:
    docker = docker_bridge.address()
    assert docker is not None
    sockets = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True).stdout
    for port in (system.aws_port, system.tokenhub_port):
        addresses = {line.split()[3].rpartition(":")[0] for line in sockets.splitlines() if f":{port} " in line}
        assert str(docker.ip) in addresses
        assert addresses <= {str(docker.ip), "127.0.0.1", "[::1]"}


def function_of(event: dict[str, Any]) -> str:
    if "methodArn" in event:
        return "AuthorizerFunction"
    if "resource" not in event:
        return "HeartbeatFunction"
    if event["httpMethod"] == "OPTIONS":
        return "PreflightFunction"
    if event["resource"].startswith("/status"):
        return "StatusFunction"
    return "CompletionsFunction" if event["resource"].startswith(("/v1/", "/anthropic/")) else "ProvidersFunction"


@pytest.fixture(scope="module")
def lambda_url(system: LocalSystem) -> Iterator[str]:
    """Runs the functions of the system for direct invocations, which take a tenth of the time of `sam local invoke`."""
    [port] = free_ports(1)
    with sam_local.start_lambda(system.state / "env.json", port):
        yield f"http://127.0.0.1:{port}/2015-03-31/functions"


def check_result(event: Path, function: str, result: Any) -> None:
    assert "errorMessage" not in result
    if "statusCode" in result:
        assert result["statusCode"] == OTHER_STATUSES.get(event.stem, 200), result
    elif function == "AuthorizerFunction":
        # The token of the sample event is not valid.
        assert result["policyDocument"]["Statement"][0]["Effect"] == "Deny"
    else:
        assert result["beaten"] == 1


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.stem)
def test_every_sample_event_is_answered(api: Api, lambda_url: str, event: Path) -> None:
    api.register(default=True)
    function = function_of(json.loads(event.read_text()))
    url = f"{lambda_url}/{function}/invocations"

    response = httpx.post(url, content=event.read_bytes(), timeout=60, trust_env=False)

    assert response.status_code == 200
    check_result(event, function, response.json())


@pytest.mark.parametrize("event", ["authorize", "beat_now", "completion", "list", "preflight", "status_page"])
def test_sam_local_invoke_answers_an_event_of_each_function(api: Api, event: str) -> None:
    api.register(default=True)
    path = ROOT / f"events/{event}.json"
    function = function_of(json.loads(path.read_text()))

    check_result(path, function, sam_local.invoke(function, path, api.system.state / "env.json"))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.stem)
def test_every_sample_event_is_small(event: Path) -> None:
    assert len(event.read_text().splitlines()) <= 20


@pytest.mark.parametrize("command", [["start-api"], ["invoke", "ProvidersFunction", "-e", "events/list.json"]])
def test_explains_what_to_start_in_a_fresh_clone(tmp_path: Path, command: list[str]) -> None:
    subprocess.run(["git", "clone", "-q", str(ROOT), str(tmp_path / "clone")], check=True)

    process = subprocess.run(
        [sam_local.SAM, "local", *command],
        cwd=tmp_path / "clone",
        env=sam_local.ENVIRON,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert process.returncode != 0
    assert START in process.stderr
    assert "Traceback" not in process.stderr


def test_explains_what_to_start_after_the_local_aws_stopped(api: Api, tmp_path: Path) -> None:
    environments = json.loads((api.system.state / "env.json").read_text())
    [port] = free_ports(1)
    for variables in environments.values():
        variables["AWS_ENDPOINT_URL"] = f"http://{urlsplit(variables['AWS_ENDPOINT_URL']).hostname}:{port}/Nobody"
    env_file = tmp_path / "env.json"
    env_file.write_text(json.dumps(environments))

    result = sam_local.invoke("ProvidersFunction", ROOT / "events/list.json", env_file)

    assert result["statusCode"] == 500
    assert "Start it with `make dev`" in json.loads(result["body"])["error"]["message"]


def test_never_calls_the_real_aws_without_the_env_file(system: LocalSystem, tmp_path: Path) -> None:
    env_file = tmp_path / "env.json"
    env_file.write_text('{"Parameters": {"PLATFORM": "local"}}')

    result = sam_local.invoke("ProvidersFunction", ROOT / "events/list.json", env_file)

    assert "Start it with `make dev`" in json.loads(result["body"])["error"]["message"]
