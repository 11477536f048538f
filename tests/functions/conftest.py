"""Loads the functions as Lambda does: with the environment variables of the template, on a moto AWS."""

import gc
import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.core.aws_api import AwsApi
from gateway.proxy.upstream import Upstream
from tests.conftest import Aws
from tests.moto_memory import empty_moto_tables
from tests.moto_server import MotoServer, moto_server
from tests.rehearsal import RunningTokenHub
from tests.template import ROOT


@dataclass(frozen=True)
class Context:
    """The attributes of Lambda's context that the functions use."""

    aws_request_id: str = "request-1"
    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


Load = Callable[[str], Any]
Refuse = Callable[[str, str], None]


@pytest.fixture
def aws(module_aws: Aws) -> Aws:
    """The module's AWS with empty tables."""
    empty_moto_tables(module_aws)
    return module_aws


@pytest.fixture(scope="session")
def moto() -> Iterator[MotoServer]:
    """moto for functions that do not use botocore's clients. moto intercepts only these clients."""
    with moto_server() as server:
        yield server


@pytest.fixture
def refuse(moto: MotoServer) -> Iterator[Refuse]:
    """`refuse("PutEvents", code)` makes the operation fail in functions that do not use botocore's clients."""
    yield moto.refused.__setitem__
    moto.refused.clear()


@pytest.fixture
def load(aws: Aws, moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """`load("providers")` imports functions/providers/app.py again. The import is Lambda's init."""
    environment = {
        "ADMIN_TOKEN_SECRET": aws.admin_secret,
        "ALLOWED_ORIGINS": "https://chat.example.com",
        "CLIENT_TOKEN_SECRET": aws.client_secret,
        "HEARTBEAT_FUNCTION": "heartbeat",
        "HEARTBEATS_TABLE": aws.heartbeats.name,
        "HISTORY_DAYS": "7",
        "KEYS_KEY": aws.key_arn,
        "LOG_LEVEL": "INFO",
        "METRICS_NAMESPACE": "TokenHubGateway",
        "PLATFORM": "local",
        "PRIVATE_NETWORKS": "refuse",
        "PROVIDERS_TABLE": aws.providers.name,
        "ROLL_UPS_TABLE": aws.roll_ups.name,
        "STATUS_PAGE": "token",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def load_app(function: str) -> Any:
        with monkeypatch.context() as patch:
            if "AWS_ENDPOINT_URL" not in os.environ:
                patch.setenv("AWS_ENDPOINT_URL", moto.url)
                # moto intercepts boto3's clients, which is faster.
                patch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
            return import_app(function)

    def import_app(function: str) -> Any:
        path = ROOT / "functions" / function / "app.py"
        spec = importlib.util.spec_from_file_location(f"{function}_app", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        loaded.append(module)
        return module

    loaded: list[Any] = []
    yield load_app
    # The function froze every object of this process. If its init failed, collections are still off.
    gc.unfreeze()
    gc.enable()
    for module in loaded:
        for value in vars(module).values():
            if isinstance(value, (AwsApi, Upstream)):
                value.close()


def event(name: str, **changes: Any) -> dict[str, Any]:
    """Returns the event events/NAME.json with some fields changed."""
    content: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return content | changes


@pytest.fixture
def register(load: Load, tokenhub: RunningTokenHub) -> Any:
    app = load("providers")

    def post(**changes: Any) -> None:
        body = json.loads(event("register")["body"]) | {"endpoint": f"{tokenhub.url}/v1", "model": "gpt-4o"} | changes
        answer = app.handler(event("register", body=json.dumps(body)), Context())
        assert answer["statusCode"] in (200, 201), answer["body"]

    return post


@pytest.fixture
def complete(load: Load) -> Any:
    """Calls the function as `sam local` does, where the answer is a proxy dict."""
    app = load("completions")

    def call(body: Any = None, **changes: Any) -> tuple[int, dict[str, str], bytes]:
        changed_body = {} if body is None else {"body": body if isinstance(body, str) else json.dumps(body)}
        answer = app.handler(event("completion", **changed_body, **changes), Context())
        return answer["statusCode"], answer["headers"], answer["body"].encode()

    return call
