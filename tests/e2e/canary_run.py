"""Calls every route of a local system whose TokenHub repeats the key that it receives, and keeps the responses."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from typing import Any

import httpx

from tests.e2e import canary, canary_malformed
from tests.e2e.canary import KEY, PROMPT, SCENARIO_NAMES, Place, key_of
from tests.local_system import LocalSystem
from tests.rehearsal import wait_until
from tools.local import aws

MESSAGES = [{"role": "user", "content": PROMPT}]
# Enough for the other routes, which differ from chat completions in the path only.
SHORT_SCENARIOS = ("echo", "cut", "error-502")


CANNOT_FAIL = ("/health", "/status", "/status/public/feed.atom")

FORWARDED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 9},
    "/v1/embeddings": {"input": PROMPT},
    "/v1/chat": {"request": {"messages": MESSAGES}},
    "/v1/plan": {"request": {"messages": MESSAGES}},
    "/v1/completions": {"prompt": PROMPT},
    "/v1/responses": {"input": PROMPT},
    "/v1/messages/count_tokens": {"messages": MESSAGES},
    "/anthropic/v1/messages": {"messages": MESSAGES, "max_tokens": 9},
    "/anthropic/v1/messages/count_tokens": {"messages": MESSAGES},
}


class CanaryRun:
    """Calls every route of one local system and records the responses. `url` is the upstream's origin."""

    def __init__(self, system: LocalSystem, url: str, scenarios: tuple[str, ...] = SCENARIO_NAMES) -> None:
        self.system, self.url, self.scenarios = system, url, scenarios
        self.events = canary.Events(system.aws_url)
        self.responses: list[Place] = []
        # The local API server's responses to malformed requests, by kind.
        self.malformed: dict[str, str] = {}
        self.registered: list[Place] = []
        self.called: dict[str, set[int]] = {}
        self.tokens = {role: system.token(role) for role in ("admin", "client")}
        self.http = httpx.Client(base_url=system.url, timeout=120, trust_env=False)

    def call(self, method: str, path: str, *, route: str = "", role: str = "admin", **more: Any) -> httpx.Response:
        by_api_key = path.startswith("/anthropic/")
        token = self.tokens[role]
        # API Gateway repeats x-api-key in requestContext.identity.apiKey, on every route.
        headers = {"x-api-key": token} | ({} if by_api_key else {"Authorization": f"Bearer {token}"})
        headers |= more.pop("headers", {})
        response = self.http.request(method, path, headers=headers, **more)
        self.called.setdefault(f"{method} {route or path}", set()).add(response.status_code)
        is_forwarded = path.startswith(("/v1/", "/anthropic/v1/")) and response.is_success
        text = _gateway_error(response.text, headers.get("X-Provider-Id")) if is_forwarded else response.text
        self.responses.append(Place(f"{method} {path} → {response.status_code}", f"{response.headers.raw} {text}"))
        return response

    def call_everything(self) -> None:
        self.register()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda pair: self.forward(*pair), product(self.scenarios, FORWARDED)))
            list(pool.map(self.inspect, self.scenarios))
        # The first calls may end in a 504 while four functions start at once.
        self.inspect("echo")
        self.misuse()
        self.send_malformed_http()
        self.send_malformed_content()
        self.tick()
        self.registered += canary.items(self.system.aws_url)
        self.leave()

    def call_briefly(self) -> None:
        """Calls the routes of chat completions and of providers, without invalid input and without the workflow."""
        self.register()
        for scenario in self.scenarios:
            self.forward(scenario, "/v1/chat/completions")
            self.inspect(scenario)
        self.registered += canary.items(self.system.aws_url)

    def providers(self) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens['admin']}"}
        return self.http.get("/api/v1/providers", headers=headers)

    def all_checked(self) -> bool:
        response = self.providers()
        return response.is_success and all(provider["status"] != "pending" for provider in response.json())

    def register(self) -> None:
        # On a slow machine, a call ends in a 504 while its functions start.
        assert wait_until(lambda: self.providers().is_success, 300, every=1)
        for scenario in self.scenarios:
            body = {"id": scenario, "endpoint": f"{self.url}/{scenario}", "api_key": key_of(scenario), "model": "m"}
            assert self.call("POST", "/api/v1/providers", json=body).status_code == 201
            # Each registration starts a heartbeat. Thirty at once would start thirty processes of the function.
            assert wait_until(self.all_checked, 300, every=0.2)

    def forward(self, scenario: str, path: str) -> None:
        if path != "/v1/chat/completions" and scenario not in SHORT_SCENARIOS:
            return
        labels = {"note": key_of(scenario), "provider": key_of(scenario), key_of(scenario): "name"}
        headers = {"X-Provider-Id": scenario, "X-Gateway-Metadata": json.dumps(labels)}
        # Once per provider, because the models do not depend on the path of the completion.
        for prefix in ("", "/anthropic") if path == "/v1/chat/completions" else ():
            models = f"{prefix}/v1/models"
            self.call("GET", models, role="client", headers=headers)
            self.call("GET", f"{models}/a%2Fmodel", route=f"{models}/{{model+}}", role="client", headers=headers)
        for stream in (False, True):
            body = FORWARDED[path] | ({"stream": True} if stream else {})
            if stream and path == "/v1/chat":
                body = {"request": FORWARDED[path]["request"] | {"stream": True}}
            self.call("POST", path, role="client", headers=headers, json=body)

    def inspect(self, scenario: str) -> None:
        one, route = f"/api/v1/providers/{scenario}", "/api/v1/providers/{id}"
        self.call("POST", f"{one}/heartbeat", route=f"{route}/heartbeat")
        self.call("GET", f"{one}/models", route=f"{route}/models")
        self.call("GET", f"{one}/heartbeats", route=f"{route}/heartbeats")
        self.call("GET", f"{one}/heartbeats?bucket=30m", route=f"{route}/heartbeats")
        self.call("GET", f"{one}/uptime", route=f"{route}/uptime")
        self.call("GET", f"{one}/incidents", route=f"{route}/incidents")
        self.call("GET", one, route=route)
        self.call("PATCH", one, route=route, json={"description": "inspected"})
        for name, query in (("badge.svg", "?of=uptime_7d"), ("shields.json", ""), ("live", "")):
            self.call("GET", f"/status/public/{scenario}/{name}{query}", route=f"/status/public/{{id}}/{name}")
        self.call("HEAD", f"/status/public/{scenario}/live", route="/status/public/{id}/live")
        self.call("GET", "/status/data", role="client")
        self.call("GET", "/status/public/data")

    def misuse(self) -> None:
        """Sends invalid input that contains the key, and calls without the necessary token."""
        one, route = "/api/v1/providers/echo", "/api/v1/providers/{id}"
        moved = {"endpoint": "https://elsewhere.example/v1"}
        for body in BAD_REGISTRATIONS:
            self.call("POST", "/api/v1/providers", **body)
            self.call("PUT", one, route=route, **body)
            self.call("PATCH", one, route=route, **body)
        self.call("PATCH", one, route=route, json=moved)
        self.call("PUT", one, route=route, json={"endpoint": f"{self.url}/echo", "model": "m"})
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            body = {"json": moved} if method in ("PUT", "PATCH") else {}
            self.call(method, "/api/v1/providers/nobody", route=route, **body)
        for part in ("models", "heartbeats", "uptime", "incidents"):
            self.call("GET", f"/api/v1/providers/nobody/{part}", route=f"{route}/{part}")
        self.call("POST", "/api/v1/providers/nobody/heartbeat", route=f"{route}/heartbeat")
        self.call("GET", f"{one}/heartbeats?before={KEY}", route=f"{route}/heartbeats")
        self.call("GET", f"{one}/incidents?before={KEY}", route=f"{route}/incidents")
        self.call("POST", "/v1/chat/completions", role="client", content=f'{{"api_key": "{KEY}"'.encode())
        self.call("POST", "/v1/chat/completions", role="client", headers={"X-Provider-Id": KEY}, json={})
        labels = {"X-Gateway-Metadata": json.dumps({KEY: 7})}
        self.call("POST", "/v1/chat/completions", role="client", headers=labels, json={})
        for path in ("/api/v1/providers", "/api/v1/openapi.json"):
            self.call("GET", path)
            self.call("GET", path, headers={"Authorization": f"Bearer {KEY}"})
            self.call("GET", path, role="client")
        for path in FORWARDED:
            self.call("POST", path, headers={"Authorization": f"Bearer {KEY}", "x-api-key": KEY}, json={})
        for models in ("/v1/models", "/anthropic/v1/models"):
            self.call("GET", models, headers={"Authorization": f"Bearer {KEY}", "x-api-key": KEY})
            self.call("GET", f"{models}/{KEY}%5C", route=f"{models}/{{model+}}", role="client")
        for path in CANNOT_FAIL:
            self.call("GET", path)
        self.misuse_status()

    def misuse_status(self) -> None:
        for name in ("badge.svg", "shields.json", "live"):
            self.call("GET", f"/status/public/{KEY}/{name}", route=f"/status/public/{{id}}/{name}")
        self.call("HEAD", f"/status/public/{KEY}/live", route="/status/public/{id}/live")
        self.call("GET", f"/status/data?page={KEY}", route="/status/data")
        self.call("GET", f"/status/public/data?page={KEY}", route="/status/public/data")

    def send_malformed_http(self) -> None:
        """Sends bytes that are not a valid request to the local API server."""
        kinds, requests = canary_malformed.MALFORMED_HTTP.keys(), canary_malformed.MALFORMED_HTTP.values()
        with ThreadPoolExecutor(len(requests)) as pool:
            received = pool.map(partial(canary_malformed.send, self.system.port), requests)
            self.malformed = dict(zip(kinds, received, strict=True))
        self.responses += [Place(f"a request with {kind}", text) for kind, text in self.malformed.items()]

    def send_malformed_content(self) -> None:
        """Sends valid requests with malformed bodies and headers to every function that reads them."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._send_body, canary_malformed.MALFORMED_BODIES.values()))
            list(pool.map(self._send_headers, canary_malformed.MALFORMED_HEADERS.values()))

    def _send_body(self, body: bytes) -> None:
        one, route = "/api/v1/providers/echo", "/api/v1/providers/{id}"
        for path in FORWARDED:
            self.call("POST", path, role="client", content=body)
        self.call("POST", "/api/v1/providers", content=body)
        self.call("PUT", one, route=route, content=body)
        self.call("PATCH", one, route=route, content=body)

    def _send_headers(self, headers: Mapping[str, bytes]) -> None:
        for path in ("/v1/chat/completions", "/anthropic/v1/messages"):
            self.call("POST", path, role="client", headers=headers, json={})
        for path in ("/api/v1/providers", "/status/data", "/v1/models"):
            self.call("GET", path, headers=headers)

    def tick(self) -> None:
        """Runs one execution of the workflow: a tick at once and another one after 30 s."""
        client = aws.client("stepfunctions", self.system.aws_url)
        [machine] = client.list_state_machines()["stateMachines"]
        started = client.start_execution(stateMachineArn=machine["stateMachineArn"], input=f'{{"n": "{PROMPT[:3]}"}}')

        def ended() -> bool:
            return bool(client.describe_execution(executionArn=started["executionArn"])["status"] != "RUNNING")

        assert wait_until(ended, 90, every=1)

    def leave(self) -> None:
        # The default provider, which is the first, can be deleted only as the last.
        for scenario in reversed(self.scenarios):
            route = "/api/v1/providers/{id}"
            assert self.call("DELETE", f"/api/v1/providers/{scenario}", route=route).status_code == 204

    def places(self) -> list[Place]:
        url = self.system.aws_url
        stored = [canary.items(url), canary.executions(url), canary.metrics(url), canary.stack(url)]
        logs = canary.logs(url, self.system.state)
        output = Place("the local system's output", "\n".join(self.system.output))
        return [*self.registered, *(place for places in stored for place in places), *logs, *self.events.all(), output]


def _gateway_error(stream: str, scenario: str | None) -> str:
    """Returns the error event with which the gateway ended a stream, or "". The rest of a 200 is the model's answer."""
    frame = stream.rpartition("\n\n")[0].rpartition("\n\n")[2]
    return frame if scenario != "error_frame" and frame.endswith("\nevent: error") else ""


BAD_REGISTRATIONS: list[dict[str, Any]] = [
    {"json": {"id": "bad", "endpoint": f"https://user:{KEY}@host.example/v1"}},
    {"json": {"id": "bad", "endpoint": f"https://host.example/v1?key={KEY}"}},
    {"json": {"id": "bad", "endpoint": 7, "api_key": KEY}},
    {"json": {"id": "bad", "endpoint": "https://host.example/v1", "apikey": KEY}},
    {"json": {"id": "bad", "endpoint": "https://host.example/v1", "api_key": [KEY]}},
    {"json": {"id": "bad", "endpoint": "https://host.example/v1", "api_key": f"{KEY} with a space"}},
    {"json": {"id": KEY * 2, "endpoint": "https://host.example/v1"}},
    {"json": [{"id": "bad", "api_key": KEY}]},
    {"content": f'{{"id": "bad", "api_key": "{KEY}"'.encode()},
]
