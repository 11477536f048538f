"""Runs Schemathesis with the whole OpenAPI document against a separate local system, and counts the statuses."""

import copy
import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.local_system import LocalSystem
from tests.rehearsal import KEY, RunningTokenHub
from tests.template import ROOT

SCHEMATHESIS = ROOT / ".local/fuzz/bin/schemathesis"
CONFIG = ROOT / "tests/fuzz/schemathesis.toml"
HOOKS = ROOT / "tests/fuzz/hooks.py"

Json = dict[str, Any]
# Parameters whose schema also allows unusable values. `before` has cursors of the years 2026 and 2100.
VALID_VALUES: dict[str, Json] = {
    "before": {"enum": ["MjAyNi0xMS0yM1QwODowMDowMC4wMDAwMDBa", "MjEwMC0wMS0wMVQwMDowMDowMC4wMDAwMDBa"]},
    "If-Match": {"enum": ["*", '"another-revision"']},
    "X-Gateway-Metadata": {"enum": ["{}", '{"team": "search"}']},
    "X-Provider-Id": {"enum": ["tokenhub", "spare", "another", "failing"]},
    # A percent sign, a backslash or the segment `..` is a 400, which no schema says.
    "model": {"enum": ["echo", "openai/gpt-4o", "models"]},
}

# The input of /v1/responses. The schema cannot list OpenAI's items, and an invalid item is a 400.
VALID_INPUT: Json = {"type": "string"}

# The number of responses by operation and status.
StatusCounts = dict[str, Counter[int]]


@dataclass(frozen=True)
class Target:
    """A running gateway with registered providers. `endpoints` are those that generated registrations may use."""

    url: str
    token: str = field(repr=False)
    endpoints: tuple[str, ...]
    document: Json = field(repr=False)

    @property
    def operations(self) -> set[str]:
        """Returns the operations of the document in the form `GET /health`."""
        return {f"{method.upper()} {path}" for path, item in self.document["paths"].items() for method in item}


@dataclass(frozen=True)
class Result:
    """The result of a run: whether all checks passed, Schemathesis's output and the statuses."""

    passed: bool
    output: str
    statuses: StatusCounts

    @property
    def cases(self) -> int:
        return sum(counts.total() for counts in self.statuses.values())


@contextmanager
def target() -> Iterator[Target]:
    """Starts a system that requires tokens, with one TokenHub that answers and one that fails.

    The default provider can be deleted only when it is the last, so there is always one that answers.
    """
    environ = {"TOKENHUB": "off", "LOCAL_TOKEN": "off", "PARAMETERS": "StatusPage=public"}
    with RunningTokenHub() as tokenhub, RunningTokenHub() as failing, LocalSystem(environ=environ) as system:
        failing.rehearse("all_failed")
        # Two origins, because moving a provider to another origin requires the key again.
        # The one that fails too: Schemathesis registers providers again with values that it has read.
        endpoints = (
            f"{tokenhub.url}/v1",
            f"{tokenhub.url.replace('127.0.0.1', 'localhost')}/v1",
            f"{failing.url}/v1",
        )
        token = system.token("admin")
        providers = {"tokenhub": endpoints[0], "spare": endpoints[0], "another": endpoints[1]}
        _register(system.url, token, providers | {"failing": endpoints[2]})
        yield Target(system.url, token, endpoints, _document(system.url, token))


def _register(url: str, token: str, providers: dict[str, str]) -> None:
    for provider, endpoint in providers.items():
        body = {"id": provider, "endpoint": endpoint, "api_key": KEY}
        httpx.post(f"{url}/api/v1/providers", json=body, headers=_bearer(token), timeout=30).raise_for_status()


def _document(url: str, token: str) -> Json:
    response = httpx.get(f"{url}/api/v1/openapi.json", headers=_bearer(token), timeout=30)
    return dict(response.raise_for_status().json())


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def narrowed(document: Json, endpoints: tuple[str, ...]) -> Json:
    """Returns the document with values that this gateway can use. All endpoints are on this machine."""
    document = copy.deepcopy(document)
    for schema in document["components"]["schemas"].values():
        if {"endpoint", "api_key"} <= schema["properties"].keys():
            schema["properties"]["endpoint"] = {"enum": list(endpoints)}
            # No schema says that the time must be in the next 30 days.
            schema["properties"]["muted_until"] = {"enum": [_tomorrow(), None]}
    body = document["paths"]["/v1/responses"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body["properties"]["input"] = VALID_INPUT
    for operation in (operation for item in document["paths"].values() for operation in item.values()):
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = VALID_VALUES.get(parameter["name"], parameter["schema"])
        # Schemathesis validates each event against this schema. In OpenAPI 3.1 it describes the whole body.
        operation["responses"].get("200", {}).get("content", {}).get("text/event-stream", {}).pop("schema", None)
    return document


def _tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")


def run(gateway: Target, *, cases: int, seed: int, echo: bool = False) -> Result:
    """Sends up to `cases` cases of each kind to each operation. `echo` prints Schemathesis's output at once."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.ndjson"
        # A file, because Schemathesis does not test the operation whose URL it loads the document from.
        document = Path(folder) / "openapi.json"
        document.write_text(json.dumps(narrowed(gateway.document, gateway.endpoints)))
        command: list[str | Path] = [SCHEMATHESIS, "--config-file", CONFIG, "run", document, "--url", gateway.url]
        command += ["--header", f"x-api-key: {gateway.token}"]
        command += ["--header", f"Authorization: Bearer {gateway.token}"]
        command += ["--seed", str(seed), "--max-examples", str(cases)]
        command += ["--no-color", "--report", "ndjson", "--report-ndjson-path", report]
        variables = {"FUZZ_KEY": KEY, "SCHEMATHESIS_HOOKS": str(HOOKS), "PYTHONUNBUFFERED": "1"}
        code, output = _run_command(command, variables, folder, echo=echo)
        if not report.exists():
            raise RuntimeError(f"Schemathesis did not run:\n{output}")
        return Result(code == 0, output, count_statuses(report.read_text()))


def _run_command(command: list[str | Path], variables: dict[str, str], folder: str, *, echo: bool) -> tuple[int, str]:
    """Runs a command with these additional variables and returns its exit code and its output."""
    lines = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=os.environ | variables
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if echo:
                print(line, end="", flush=True)
    return process.returncode, "".join(lines)


def count_statuses(report: str) -> StatusCounts:
    """Counts the statuses in a report of Schemathesis, which has one event per line, each a JSON object."""
    statuses: StatusCounts = {}
    for event in map(json.loads, report.splitlines()):
        recorder = event.get("ScenarioFinished", {}).get("recorder", {})
        for case, exchange in recorder.get("interactions", {}).items():
            request = recorder["cases"][case]["value"]
            status = exchange["response"]["status_code"] if exchange["response"] else 0
            statuses.setdefault(f"{request['method']} {request['path']}", Counter())[status] += 1
    return statuses


def table(result: Result, operations: set[str]) -> str:
    """Returns a table of the statuses by operation. The last row counts requests with an unknown method."""
    others = sum((result.statuses[name] for name in result.statuses.keys() - operations), Counter[int]())
    rows = [(name, result.statuses.get(name, Counter())) for name in sorted(operations)] + [("unknown method", others)]
    lines = [f"{'':45} cases   2xx   4xx   5xx"]
    for name, counts in rows:
        classes = {first: sum(n for status, n in counts.items() if status // 100 == first) for first in (2, 4, 5)}
        lines.append(f"{name:45} {counts.total():5} {classes[2]:5} {classes[4]:5} {classes[5]:5}")
    return "\n".join(lines)
