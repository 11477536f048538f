"""The programs that `make bench BENCH=peers` compares the gateway with. Each runs one worker and listens on loopback.

Their usage reports and look-ups of newer versions are switched off.
"""

import asyncio
import json
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.template import ROOT

ENVIRONMENTS = ROOT / ".local/peers"
MODELS = ("bench", "quick", "long", "cut")
END_WITHIN_S = 10


@dataclass(frozen=True)
class Command:
    """How to start a program, and the headers that its requests need."""

    arguments: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


# Returns the command for a provider's URL, a port, and a folder for configuration files.
Starter = Callable[[str, int, Path], Command]


def relay(provider: str, port: int, _folder: Path) -> Command:
    """The plain relay of the other benchmarks."""
    python = str(ROOT / ".local/bench/bin/python")
    arguments = (python, "-m", "uvicorn", "tools.bench.plain_relay:app", "--port", str(port), "--log-level", "warning")
    return Command(arguments, {"UPSTREAM": provider, "PYTHONPATH": "."})


def litellm(provider: str, port: int, folder: Path) -> Command:
    """The LiteLLM proxy. It does not start without a long master key."""
    parameters = {"model": "openai/*", "api_base": f"{provider}/v1", "api_key": "sk-bench"}
    config = folder / "litellm.yaml"
    config.write_text(json.dumps({"model_list": [{"model_name": "*", "litellm_params": parameters}]}))
    key = f"sk-{secrets.token_hex(24)}"
    program = str(ENVIRONMENTS / "litellm/bin/litellm")
    options = ("--host", "127.0.0.1", "--port", str(port), "--config", str(config), "--num_workers", "1")
    switches = {"LITELLM_TELEMETRY_DISABLED": "true", "LITELLM_OFFLINE_MODE": "true"}
    environ = {"LITELLM_MASTER_KEY": key, "LITELLM_LOCAL_MODEL_COST_MAP": "true"} | switches
    return Command((program, *options), environ, {"Authorization": f"Bearer {key}"})


def portkey(provider: str, port: int, _folder: Path) -> Command:
    """The Portkey gateway. Each request names its provider in headers."""
    program = str(ENVIRONMENTS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js")
    only_loopback = ("--import", str(ROOT / "tools/bench/portkey/loopback.mjs"))
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{provider}/v1"}
    arguments = ("node", *only_loopback, program, f"--port={port}", "--headless")
    return Command(arguments, {"NODE_ENV": "production"}, {"Authorization": "Bearer sk-bench"} | headers)


def mlflow(provider: str, port: int, folder: Path) -> Command:
    """MLflow's AI gateway. `mlflow gateway start` runs the same application under gunicorn's uvicorn workers."""
    config = folder / "mlflow.yaml"
    config.write_text(json.dumps({"endpoints": [_mlflow_endpoint(model, provider) for model in MODELS]}))
    python = str(ENVIRONMENTS / "mlflow/bin/python")
    application = ("-m", "uvicorn", "mlflow.gateway.app:create_app_from_env", "--factory")
    options = ("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning")
    environ = {"MLFLOW_GATEWAY_CONFIG": str(config), "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    return Command((python, *application, *options), environ)


def _mlflow_endpoint(model: str, provider: str) -> dict[str, object]:
    config = {"openai_api_base": f"{provider}/v1", "openai_api_key": "sk-bench"}
    target = {"provider": "openai", "name": model, "config": config}
    return {"name": model, "endpoint_type": "llm/v1/chat", "model": target}


# By the folder of the environment below ENVIRONMENTS.
PEERS: Mapping[str, Starter] = {"litellm": litellm, "portkey": portkey, "mlflow": mlflow}


def is_installed(peer: str) -> bool:
    """Returns whether the Makefile has installed this peer."""
    return (ENVIRONMENTS / peer / "ready").exists()


def version(peer: str) -> str:
    """Returns the peer's version that the repository pins."""
    if peer == "portkey":
        package = json.loads((ROOT / "tools/bench/portkey/package.json").read_text())
        return str(package["dependencies"]["@portkey-ai/gateway"])
    [pinned] = re.findall(rf"^{peer}==(\S+)$", (ROOT / f"requirements/peers-{peer}.txt").read_text(), re.MULTILINE)
    return str(pinned)


@asynccontextmanager
async def running(command: Command, log: Path) -> AsyncIterator[int]:
    """Runs a program and yields its process id. Its output goes to `log`."""
    # This process's PYTHONPATH would give Python's peers modules of the repository.
    environ = os.environ | {"PYTHONPATH": ""} | dict(command.environ)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command.arguments, cwd=ROOT, env=environ, stdout=output, stderr=output
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), END_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()
