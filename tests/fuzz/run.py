"""Schemathesis runs the whole OpenAPI document against a local system of its own, and what came of it is counted."""

import copy
import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
# Valid is what no schema can say whole: a cursor (of 2026, of 2100), what is registered.
VALID: dict[str, Json] = {
    "before": {"enum": ["MjAyNi0xMS0yM1QwODowMDowMC4wMDAwMDBa", "MjEwMC0wMS0wMVQwMDowMDowMC4wMDAwMDBa"]},
    "If-Match": {"enum": ["*", '"another-revision"']},
    "X-Provider-Id": {"enum": ["tokenhub", "spare", "another", "failing"]},
    # A percent sign, a backslash or the segment `..` is a 400, which no schema says.
    "model": {"enum": ["echo", "openai/gpt-4o", "models"]},
}

Answers = dict[str, Counter[int]]  # by operation, how often each status came


@dataclass(frozen=True)
class Target:
    """A running gateway with providers, and the endpoints that more of them may have."""

    url: str
    token: str = field(repr=False)
    endpoints: tuple[str, ...]
    document: Json = field(repr=False)

    @property
    def operations(self) -> set[str]:
        """Like `GET /health`."""
        return {f"{method.upper()} {path}" for path, item in self.document["paths"].items() for method in item}


@dataclass(frozen=True)
class Result:
    """What a run found."""

    passed: bool
    output: str
    answers: Answers

    @property
    def cases(self) -> int:
        return sum(answers.total() for answers in self.answers.values())


@contextmanager
def target() -> Iterator[Target]:
    """A system where no request goes without a token, and a TokenHub behind it that answers; another one fails.

    The default provider can be deleted only when it is the last, so there is always one that answers.
    """
    quiet = {"TOKENHUB": "off", "LOCAL_TOKEN": "off"}
    with RunningTokenHub() as tokenhub, RunningTokenHub() as failing, LocalSystem(environ=quiet) as system:
        failing.rehearse("all_failed")
        # two origins, because a key does not travel from one to the other
        endpoints = (f"{tokenhub.url}/v1", f"{tokenhub.url.replace('127.0.0.1', 'localhost')}/v1")
        token = system.token("admin")
        registered = {"tokenhub": endpoints[0], "spare": endpoints[0], "another": endpoints[1]}
        _register(system.url, token, registered | {"failing": f"{failing.url}/v1"})
        yield Target(system.url, token, endpoints, _document(system.url, token))


def _register(url: str, token: str, registered: dict[str, str]) -> None:
    for provider, endpoint in registered.items():
        body = {"id": provider, "endpoint": endpoint, "api_key": KEY}
        httpx.post(f"{url}/api/v1/providers", json=body, headers=_bearer(token), timeout=30).raise_for_status()


def _document(url: str, token: str) -> Json:
    answer = httpx.get(f"{url}/api/v1/openapi.json", headers=_bearer(token), timeout=30)
    return dict(answer.raise_for_status().json())


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def narrowed(document: Json, endpoints: tuple[str, ...]) -> Json:
    """The document to generate from: of what it allows, what this gateway can do. No endpoint is off this machine."""
    document = copy.deepcopy(document)
    for schema in document["components"]["schemas"].values():
        if {"endpoint", "api_key"} <= schema["properties"].keys():
            schema["properties"]["endpoint"] = {"enum": list(endpoints)}
    for operation in (operation for item in document["paths"].values() for operation in item.values()):
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = VALID.get(parameter["name"], parameter["schema"])
        # Schemathesis takes it for the schema of one event; in OpenAPI 3.1 it is that of the whole text.
        operation["responses"].get("200", {}).get("content", {}).get("text/event-stream", {}).pop("schema", None)
    return document


def run(at: Target, *, cases: int, seed: int, echo: bool = False) -> Result:
    """Sends up to `cases` cases of each kind to each operation. `echo` shows Schemathesis's words as they come."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.ndjson"
        document = Path(folder) / "openapi.json"  # a file: Schemathesis leaves the call out that it has a document from
        document.write_text(json.dumps(narrowed(at.document, at.endpoints)))
        command: list[str | Path] = [SCHEMATHESIS, "--config-file", CONFIG, "run", document, "--url", at.url]
        command += ["--header", f"x-api-key: {at.token}"]
        command += ["--header", f"Authorization: Bearer {at.token}", "--seed", str(seed), "--max-examples", str(cases)]
        command += ["--no-color", "--report", "ndjson", "--report-ndjson-path", report]
        told = {"FUZZ_KEY": KEY, "SCHEMATHESIS_HOOKS": str(HOOKS), "PYTHONUNBUFFERED": "1"}
        code, output = _shown(command, told, folder, echo=echo)
        if not report.exists():
            raise RuntimeError(f"Schemathesis did not run:\n{output}")
        return Result(code == 0, output, counted(report.read_text()))


def _shown(command: list[str | Path], told: dict[str, str], folder: str, *, echo: bool) -> tuple[int, str]:
    """The exit code and the output of a command."""
    lines = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=os.environ | told
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if echo:
                print(line, end="", flush=True)
    return process.returncode, "".join(lines)


def counted(report: str) -> Answers:
    """The answers in a report of Schemathesis: one JSON object a line, an event each."""
    answers: Answers = {}
    for event in map(json.loads, report.splitlines()):
        recorder = event.get("ScenarioFinished", {}).get("recorder", {})
        for case, exchange in recorder.get("interactions", {}).items():
            asked = recorder["cases"][case]["value"]
            status = exchange["response"]["status_code"] if exchange["response"] else 0
            answers.setdefault(f"{asked['method']} {asked['path']}", Counter())[status] += 1
    return answers


def table(result: Result, operations: set[str]) -> str:
    """How often each operation answered how; what is asked of a method that there is not comes last."""
    others = sum((result.answers[name] for name in result.answers.keys() - operations), Counter[int]())
    rows = [(name, result.answers.get(name, Counter())) for name in sorted(operations)] + [("no such method", others)]
    lines = [f"{'':45} cases   2xx   4xx   5xx"]
    for name, answers in rows:
        kinds = Counter({kind: sum(n for status, n in answers.items() if status // 100 == kind) for kind in (2, 4, 5)})
        lines.append(f"{name:45} {answers.total():5} {kinds[2]:5} {kinds[4]:5} {kinds[5]:5}")
    return "\n".join(lines)
