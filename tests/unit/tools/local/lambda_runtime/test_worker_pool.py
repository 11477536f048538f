import asyncio
import json
import os
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.rehearsal import wait_until
from tests.unit.tools.local.running_server import RUNTIME, RUNTIME_PYTHON, make_function, needs_runtime
from tools.local.deployment import Function
from tools.local.lambda_runtime.worker import environment
from tools.local.lambda_runtime.worker_pool import ThrottledError, WorkerPool

PLAN: dict[str, Any] = {"steps": []}


def run(scenario: Callable[[WorkerPool], Awaitable[None]], **options: Any) -> list[str]:
    """Runs a scenario, closes the workers and returns the log."""
    log: list[str] = []

    async def run_scenario() -> None:
        settings: dict[str, Any] = {
            "credentials": lambda _: {},
            "log": lambda _, line: log.append(line),
            "command": RUNTIME,
        }
        workers = WorkerPool(RUNTIME_PYTHON, **(settings | options))
        try:
            async with asyncio.timeout(60):
                await scenario(workers)
        finally:
            await workers.close()

    asyncio.run(run_scenario())
    return log


async def worker_pid(workers: WorkerPool, function: Function, plan: dict[str, Any] = PLAN) -> int:
    """Runs one invocation and returns the worker's process id, or -1 if the response has none."""
    async with workers.invoke(function, "id-1", json.dumps({"body": json.dumps(plan)}).encode()) as invocation:
        headers = dict((await invocation.prelude()).headers)
        async for _ in invocation.chunks():
            pass
    return int(headers.get("x-pid", -1))


def is_running(process_id: int) -> bool:
    """Returns whether a process exists and is not a zombie."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process_id)], capture_output=True, text=True, check=False)
    return state.stdout.strip() not in {"", "Z"}


def process_line(process_id: int) -> str:
    """Returns the arguments and the environment of a process."""
    command = ["ps", "eww", "-o", "command=", "-p", str(process_id)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def wait_until_gone(process_id: int) -> None:
    assert await asyncio.to_thread(wait_until, lambda: not is_running(process_id), 30), process_id


def test_environment_has_lambdas_variables_only(tmp_path: Path) -> None:
    function = make_function(tmp_path, layers=(Path("/a"), Path("/b")), environment={"TABLE": "t", "TZ": "own"})

    today = time.strftime("%Y/%m/%d/[$LATEST]", time.gmtime())
    variables = environment(function, "127.0.0.1:1", {"AWS_SESSION_TOKEN": "of-the-role"})

    stream = variables.pop("AWS_LAMBDA_LOG_STREAM_NAME")
    # Midnight may have passed meanwhile.
    assert stream.startswith((today, time.strftime("%Y/%m/%d/[$LATEST]", time.gmtime())))
    layers = [f"{layer}/{folder}" for layer in "ab" for folder in ("python/lib/python3.13/site-packages", "python")]
    assert variables == {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": "own",
        "TABLE": "t",
        "PYTHONPATH": ":".join([str(function.code), *(f"/{layer}" for layer in layers)]),
        "LAMBDA_TASK_ROOT": str(function.code),
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1",
        "_HANDLER": "app.handler",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_FUNCTION_NAME": "local-completions",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/completions",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_SESSION_TOKEN": "of-the-role",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


@needs_runtime
def test_workers_use_the_folder_of_temporary_files(tmp_path: Path) -> None:
    async def scenario(workers: WorkerPool) -> None:
        process = await worker_pid(workers, make_function(tmp_path))
        # Tests find the processes of a system by its state folder, which contains this folder.
        assert f"TMPDIR={tmp_path / 'tmp'}" in await asyncio.to_thread(process_line, process)

    run(scenario, temporary=tmp_path / "tmp")


@needs_runtime
def test_replaces_a_worker_whose_process_ended(tmp_path: Path) -> None:
    function = make_function(tmp_path)

    async def scenario(workers: WorkerPool) -> None:
        first = await worker_pid(workers, function)
        os.kill(first, 9)
        await wait_until_gone(first)
        assert await asyncio.to_thread(wait_until, lambda: not workers._workers, 30)
        assert await worker_pid(workers, function) not in {first, -1}

    run(scenario)


@needs_runtime
def test_replaces_a_free_worker_of_another_function(tmp_path: Path) -> None:
    function = make_function(tmp_path)
    other = replace(function, name="other")

    async def scenario(workers: WorkerPool) -> None:
        first = await worker_pid(workers, function)
        assert await worker_pid(workers, other) != first
        await wait_until_gone(first)

    run(scenario, max_workers=1)


@needs_runtime
def test_does_not_replace_a_busy_worker(tmp_path: Path) -> None:
    function = make_function(tmp_path)

    async def scenario(workers: WorkerPool) -> None:
        async with workers.invoke(function, "id-1", b'{"body": "{\\"sleep\\": 60}"}'):
            with pytest.raises(ThrottledError):
                await worker_pid(workers, replace(function, name="other"))

    run(scenario, max_workers=1)


@needs_runtime
@pytest.mark.parametrize("source", ["raise KeyError('a secret')", "import nothing_of_this_name", "x ="])
def test_function_that_cannot_start_fails_the_invocation_and_frees_its_slot(tmp_path: Path, source: str) -> None:
    function = make_function(tmp_path)
    (function.code / "app.py").write_text(source)

    async def scenario(workers: WorkerPool) -> None:
        for _ in range(2):
            async with workers.invoke(function, "id-1", b"{}") as invocation:
                with pytest.raises(Exception, match="initialisation failed"):
                    await invocation.prelude()
            assert await asyncio.to_thread(wait_until, lambda: not workers._workers, 30)

    log = run(scenario, max_workers=1)

    assert any("initialisation failed" in line for line in log)


@needs_runtime
def test_missing_runtime_fails_and_frees_its_slot(tmp_path: Path) -> None:
    function = make_function(tmp_path)

    async def scenario(workers: WorkerPool) -> None:
        for _ in range(2):
            with pytest.raises(FileNotFoundError):
                await worker_pid(workers, function)

    run(scenario, max_workers=1, command=["/nonexistent/python"])


@needs_runtime
def test_close_kills_workers_and_their_children_at_once(tmp_path: Path) -> None:
    function = make_function(tmp_path)
    source = (function.code / "app.py").read_text()
    child = "import subprocess\nCHILD = subprocess.Popen(['sleep', '60']).pid\nprint('child', CHILD)\n"
    (function.code / "app.py").write_text(
        source.replace("\n\nLambdaRuntimeClient:", f"\n\n{child}\nLambdaRuntimeClient:", 1)
    )
    durations: list[float] = []
    pids: list[int] = []

    async def scenario(workers: WorkerPool) -> None:
        async with workers.invoke(function, "id-1", b'{"body": "{\\"sleep\\": 60}"}'):
            pids.append(await worker_pid(workers, function))
            started = time.monotonic()
            await workers.close()
            durations.append(time.monotonic() - started)

    log = run(scenario)

    pids += [int(line.split()[1]) for line in log if line.startswith("child")]
    assert len(pids) >= 2
    assert durations[0] < 10
    for process_id in pids:
        asyncio.run(wait_until_gone(process_id))


@needs_runtime
def test_skips_a_too_long_line_and_logs_the_next_ones(tmp_path: Path) -> None:
    function = make_function(tmp_path)

    log: list[str] = []

    async def scenario(workers: WorkerPool) -> None:
        await worker_pid(workers, function, {"steps": [["print", "x" * 3_000_000], ["print", "after"]]})
        assert await asyncio.to_thread(wait_until, lambda: "after" in log, 30)

    run(scenario, log=lambda _, line: log.append(line))

    assert max(map(len, log)) <= 1024 * 1024


@needs_runtime
def test_writes_no_compiled_code(tmp_path: Path) -> None:
    function = make_function(tmp_path)
    (function.code / "app.py").write_text("from helper import handler\n")
    (function.code / "helper.py").write_text((Path(__file__).with_name("streaming_app.py")).read_text())

    async def scenario(workers: WorkerPool) -> None:
        await worker_pid(workers, function)

    run(scenario)

    assert not list(tmp_path.rglob("*.pyc"))
