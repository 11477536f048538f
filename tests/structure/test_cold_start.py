"""Limits what each function imports at its init. `make bench BENCH=cold` measures the times, which vary."""

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from tests.template import ROOT, template

FUNCTIONS = ("authorizer", "completions", "heartbeat", "preflight", "providers", "status")
# The maximum number of modules after the import of app.py, about 2 % above the current number.
MAX_MODULES = {
    "authorizer": 193,
    "completions": 470,
    "heartbeat": 499,
    "preflight": 107,
    "providers": 755,
    "status": 565,
}
AWS_CLIENTS = {"boto3", "botocore.client", "botocore.session", "s3transfer", "urllib3"}
ROUTER = {"aws_lambda_powertools.event_handler", "pydantic"}
UNUSED = {"aws_xray_sdk", "requests"}
FORBIDDEN = {
    "authorizer": AWS_CLIENTS | ROUTER | {"aws_lambda_powertools", "httpx"},
    "completions": AWS_CLIENTS | ROUTER,
    "heartbeat": AWS_CLIENTS | ROUTER,
    "preflight": AWS_CLIENTS | ROUTER | {"aws_lambda_powertools", "botocore", "httpx", "http.client", "urllib.parse"},
    "providers": {"httpx", "httpcore"},
    "status": ROUTER | {"httpx", "httpcore"},
}
MODULES = "sorted(sys.modules)"
# The pydantic models of the gateway whose validator has been built.
BUILT_MODELS = """sorted(
    f"{module}.{name}"
    for module in sys.modules
    for name, value in vars(sys.modules[module]).items()
    if getattr(value, "__module__", None) == module and module.startswith("gateway.")
    and getattr(value, "__pydantic_complete__", False)
)"""


@cache
def loaded(function: str, names: str = MODULES) -> list[Any]:
    """Imports app.py as Lambda does and returns the value of `names`: by default the names of all loaded modules."""
    folder = ROOT / "functions" / function
    paths = [folder, ROOT / "layers/gateway", ROOT / "layers/streaming/python"]
    environ = variables(function) | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "AWS_REGION": "us-east-1"}
    command = [sys.executable, "-c", f"import gc, json, sys, app; print(json.dumps({names}))"]
    result = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    value: list[Any] = json.loads(result.stdout.splitlines()[-1])
    return value


def variables(function: str) -> dict[str, str]:
    """Returns the variables of the template, with the first allowed value where there is a choice."""
    values = {
        "ALLOWED_ORIGINS": "",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "HISTORY_DAYS": "7",
        "LOG_LEVEL": "INFO",
        "PLATFORM": "aws",
        "PRIVATE_NETWORKS": "refuse",
        "STATUS_PAGE": "token",
    }
    declared: dict[str, Any] = template()["Resources"][f"{function.title()}Function"]["Properties"]["Environment"]
    optional = {"AWS_ENDPOINT_URL", *(name for name in declared["Variables"] if name.endswith("_SECONDS"))}
    return {name: "value" for name in declared["Variables"] if name not in optional} | values


@pytest.mark.parametrize("function", FUNCTIONS)
def test_init_loads_few_modules(function: str) -> None:
    assert len(loaded(function)) <= MAX_MODULES[function]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_init_loads_no_package_that_the_function_does_not_need(function: str) -> None:
    assert (FORBIDDEN[function] | UNUSED) & set(loaded(function)) == set()


def test_init_builds_no_validator_of_a_body() -> None:
    """Deferred.model_config: each request needs only few of them."""
    assert "gateway.registry.schemas" in loaded("providers")
    assert loaded("providers", BUILT_MODELS) == []


GARBAGE_COLLECTOR = (
    "[gc.isenabled(), gc.get_freeze_count() > 10_000, sum(age['collections'] for age in gc.get_stats()) < 10]"
)


@pytest.mark.parametrize("function", sorted({*FUNCTIONS} - {"preflight"}))
def test_init_runs_without_the_garbage_collector(function: str) -> None:
    """Python's own start and the imports of this test collect a few times. The init alone would do so 9 to 46 times."""
    assert loaded(function, GARBAGE_COLLECTOR) == [True, True, True]
