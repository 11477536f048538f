"""Imports point down only (functions → gateway → libraries), and importing a module does no I/O."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.template import ROOT

GATEWAY = ROOT / "layers/gateway/gateway"
STREAMING_FOLDER = ROOT / "layers/streaming"
STREAMING = STREAMING_FOLDER / "python/lambda_streaming"
PARTS = {"functions", "gateway", "lambda_streaming", "tools", "tests"}
MAY_IMPORT = {
    ROOT / "functions": {"gateway", "lambda_streaming"},
    GATEWAY: {"gateway", "lambda_streaming"},
    **{STREAMING_FOLDER / part: {"lambda_streaming"} for part in ("python", "tests", "example")},
    **{ROOT / "tools" / part: {"tools"} for part in ("docs", "local", "ops", "rehearsal", "smoke")},
    # Benchmarks load the functions' code and start test systems.
    ROOT / "tools/bench": {"tools", "gateway", "tests"},
}
# From the bottom up. A module imports modules of its own package and of the packages before it.
PACKAGES = ["core", "registry", "proxy", "heartbeat", "status", "api"]


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            # A relative import stays in its own package.
            yield path.parent.name
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", MAY_IMPORT, ids=lambda folder: folder.name)
def test_each_part_imports_only_parts_below_it(folder: Path) -> None:
    for path in sources(folder):
        used = {name.partition(".")[0] for name in imported(path)} & PARTS
        assert used <= MAY_IMPORT[folder], path


def modules() -> dict[str, Path]:
    """Every module of the gateway by its dotted name below `gateway`, such as `core.errors`."""
    paths = {path.relative_to(GATEWAY).with_suffix(""): path for path in sources(GATEWAY)}
    return {".".join(name.parts): path for name, path in paths.items() if name.stem != "__init__"}


MODULES = modules()


def used_by(module: str) -> set[str]:
    """The modules of the gateway that a module imports."""
    names = (name.removeprefix("gateway.") for name in imported(MODULES[module]))
    return {name for name in names if name in MODULES}


def test_every_module_of_the_gateway_is_in_a_package() -> None:
    assert {module.partition(".")[0] for module in MODULES} == set(PACKAGES)


@pytest.mark.parametrize("module", MODULES)
def test_each_module_imports_only_its_own_package_and_those_below(module: str) -> None:
    package = module.partition(".")[0]

    assert {name.partition(".")[0] for name in used_by(module)} <= set(PACKAGES[: PACKAGES.index(package) + 1])


def test_gateway_has_no_circular_imports() -> None:
    """`prepare` raises CycleError for a circular import."""
    TopologicalSorter({module: used_by(module) for module in MODULES}).prepare()


def test_package_files_are_empty() -> None:
    """The completions function imports `gateway.proxy` without what the other functions need."""
    assert [path for path in GATEWAY.rglob("*/__init__.py") if path.read_text()] == []


def users_of(package: str) -> list[str]:
    return [name for name, path in MODULES.items() if package in {used.partition(".")[0] for used in imported(path)}]


HTTPX_MODULES = ["proxy.connect", "proxy.response_body", "proxy.transport_errors", "proxy.upstream"]


def test_few_modules_import_httpx() -> None:
    assert users_of("httpx") == HTTPX_MODULES


def test_no_module_uses_boto3s_condition_builder() -> None:
    """All threads of a resource share its counter of placeholders: findings/conditions_share_placeholders.sh."""
    users = [path for folder in MAY_IMPORT for path in sources(folder) if "boto3.dynamodb.conditions" in imported(path)]

    assert users == []


def test_only_api_schemas_import_pydantic() -> None:
    assert users_of("pydantic") == ["api.rollup_views", "api.views", "registry.schemas"]


def test_the_streaming_layer_is_imported_in_one_place() -> None:
    """The other functions run without that layer."""
    assert users_of("lambda_streaming") == ["proxy.session"]


def reads_environment(path: Path) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_gateway_package_reads_no_environment_variable() -> None:
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


@pytest.mark.parametrize("module", [f"gateway.{name}" for name in MODULES] + ["lambda_streaming"])
def test_importing_opens_no_connection_and_needs_no_variable(module: str) -> None:
    paths = f"{GATEWAY.parent}:{STREAMING.parent}"
    command = [sys.executable, "-c", WATCH, module, paths]
    process = subprocess.run(command, env={}, capture_output=True, text=True, check=False)

    assert process.returncode == 0, process.stderr


def test_completions_function_imports_no_provider_api_libraries() -> None:
    """pydantic and the Powertools resolver add about 130 ms to a cold start."""
    seen: set[str] = set()
    pending = [ROOT / "functions/completions/app.py"]
    while pending:
        names = set(imported(pending.pop()))
        assert not {name for name in names if name.startswith(("pydantic", "aws_lambda_powertools.event_handler"))}
        used = {name.removeprefix("gateway.") for name in names} & set(MODULES) - seen
        seen |= used
        pending += [MODULES[name] for name in used]
