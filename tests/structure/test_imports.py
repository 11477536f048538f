"""Arrows point down only: functions → gateway → libraries; and importing a module does nothing else."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.template import ROOT

GATEWAY = ROOT / "layers/gateway/gateway"
STREAMING = ROOT / "layers/streaming/python/lambda_streaming"
PARTS = {"functions", "gateway", "lambda_streaming", "local", "smoke", "docs", "tests"}
MAY_IMPORT = {
    ROOT / "functions": {"gateway", "lambda_streaming"},
    GATEWAY: {"gateway"},
    STREAMING: {"lambda_streaming"},
    ROOT / "local": {"local"},
    ROOT / "smoke": {"smoke"},
    ROOT / "docs": {"docs"},
}
# From the bottom up: a module may import those before it.
ORDER = [
    *("background", "redaction", "errors", "records", "settings"),
    *("endpoint", "keys", "tokens", "telemetry", "cors", "strict_json", "items", "preconditions", "local_aws"),
    *("request", "refusals", "sse"),
    *(
        "health",
        "history",
        "models",
        "views",
        "heartbeats",
        "health_events",
        "outbox",
        "providers",
        "invalid",
        "heartbeat_function",
    ),
    *("registry", "connecting", "upstream"),
    *("record", "targets", "verdict", "ping", "beat"),
    *("relay", "answers", "forwarding", "exchange", "tick", "model_list"),
    *("calls", "openapi"),
    "late",
]


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield path.parent.name  # a relative import stays in its own package
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", MAY_IMPORT, ids=lambda folder: folder.name)
def test_each_part_imports_only_what_lies_below_it(folder: Path) -> None:
    for path in sources(folder):
        used = {name.partition(".")[0] for name in imported(path)} & PARTS
        assert used <= MAY_IMPORT[folder], path


@pytest.mark.parametrize("module", ORDER)
def test_each_module_of_the_gateway_imports_only_those_below_it(module: str) -> None:
    below = set(ORDER[: ORDER.index(module)])
    names = [name.split(".") for name in imported(GATEWAY / f"{module}.py")]
    used = {name[1] for name in names if name[0] == "gateway" and len(name) > 1}

    assert used <= below


def test_every_module_of_the_gateway_has_its_place() -> None:
    assert {path.stem for path in sources(GATEWAY)} - {"__init__"} == set(ORDER)


def users_of(package: str) -> list[str]:
    return [path.stem for path in sources(GATEWAY) if package in {name.partition(".")[0] for name in imported(path)}]


def test_httpx_is_imported_in_one_place() -> None:
    assert users_of("httpx") == ["upstream"]


def test_pydantic_is_imported_where_the_provider_apis_shapes_are_and_nowhere_else() -> None:
    assert users_of("pydantic") == ["models", "views"]


def reads_environment(path: Path) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_only_the_functions_name_the_environment() -> None:
    assert [path.name for path in sources(GATEWAY) if reads_environment(path)] == []


WATCH = """
import sys
def watch(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "subprocess", "os.system")):
        raise SystemExit(f"{event} while importing")
sys.addaudithook(watch)
sys.path[:0] = sys.argv[2].split(":")
__import__(sys.argv[1])
"""


@pytest.mark.parametrize("module", [f"gateway.{name}" for name in ORDER] + ["lambda_streaming"])
def test_importing_a_module_opens_no_connection_and_needs_no_variable(module: str) -> None:
    paths = f"{GATEWAY.parent}:{STREAMING.parent}"
    command = [sys.executable, "-c", WATCH, module, paths]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_the_completions_function_does_without_what_only_the_provider_api_needs() -> None:
    """pydantic and the resolver cost a cold start about 130 ms (streaming.md, 3)."""
    seen: set[str] = set()
    todo = [ROOT / "functions/completions/app.py"]
    while todo:
        names = set(imported(todo.pop()))
        assert not {name for name in names if name.startswith(("pydantic", "aws_lambda_powertools.event_handler"))}
        inner = {name.split(".")[1] for name in names if name.startswith("gateway.")} - seen
        seen |= inner
        todo += [GATEWAY / f"{name}.py" for name in inner]
