"""The local system from start to end: whole processes, real signals, real time."""

import io
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.deployed_system import DeployedSystem
from tests.local_system import LocalSystem, free_ports
from tools.local import aws
from tools.local.ports import listening

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TABLE = "lifecycle"
SLEEPER = "import time\ndef handler(event, context):\n    time.sleep(60)\n"


@pytest.fixture(scope="module")
def ports() -> tuple[int, ...]:
    return free_ports(3)


@pytest.fixture(scope="module")
def seconds_of_first_start() -> list[float]:
    """Gets its only item from the fixture `deployed`."""
    return []


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, ports: tuple[int, ...], seconds_of_first_start: list[float]
) -> Path:
    """Returns the state folder of a system that was started once and stopped."""
    state = tmp_path_factory.mktemp("deployed") / "state"
    started = time.monotonic()
    with LocalSystem(state, ports) as system:
        seconds_of_first_start.append(time.monotonic() - started)
        aws.client("dynamodb", system.aws_url).create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    return state


@pytest.fixture
def system(tmp_path: Path, deployed: Path, ports: tuple[int, ...]) -> Iterator[LocalSystem]:
    """Starts a system on a copy of the deployed state."""
    shutil.copytree(deployed, tmp_path / "state")
    with LocalSystem(tmp_path / "state", ports) as running:
        yield running


def put(system: LocalSystem, item: str) -> None:
    aws.client("dynamodb", system.aws_url).put_item(TableName=TABLE, Item={"id": {"S": item}})


def items(system: LocalSystem) -> set[str]:
    stored = aws.client("dynamodb", system.aws_url).scan(TableName=TABLE, ConsistentRead=True)["Items"]
    return {item["id"]["S"] for item in stored}


def invoke_a_hanging_function(system: LocalSystem) -> None:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", SLEEPER)
    functions = aws.client("lambda", system.aws_url)
    functions.create_function(
        FunctionName="sleeper",
        Runtime="python3.13",
        Handler="app.handler",
        Role=functions.list_functions()["Functions"][0]["Role"],
        Code={"ZipFile": code.getvalue()},
        Timeout=120,
    )
    functions.invoke(FunctionName="sleeper", InvocationType="Event")
    wait_for_process(system, "-sleeper-")


def start_a_streaming_worker(system: LocalSystem) -> None:
    request = urllib.request.Request(f"{system.url}/v1/models")
    with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=20) as response:
        response.read()
    wait_for_process(system, "awslambdaric")


def wait_for_process(system: LocalSystem, name: str) -> None:
    end = time.monotonic() + 10
    while not any(name in process for process in system.processes()):
        assert time.monotonic() < end, f"no process {name}"
        time.sleep(0.1)


def test_second_start_is_faster_than_the_first_and_runs_without_sam(
    tmp_path: Path, deployed: Path, ports: tuple[int, ...], seconds_of_first_start: list[float]
) -> None:
    shutil.copytree(deployed, tmp_path / "state")
    shutil.rmtree(tmp_path / "state" / "logs")

    started = time.monotonic()
    with LocalSystem(tmp_path / "state", ports) as system:
        assert time.monotonic() - started < seconds_of_first_start[0]
        assert not list((system.state / "logs").glob("sam-*"))
        assert system.wait_for(rf"curl -X POST {system.url}/api/v1/providers", 5)


def test_deployed_system_of_the_tests_runs_without_sam() -> None:
    with DeployedSystem() as system:
        assert not list((system.state / "logs").glob("sam-*"))
        assert system.token("client")


def test_ctrl_c_stops_everything_within_10_seconds_while_a_function_hangs(system: LocalSystem) -> None:
    invoke_a_hanging_function(system)
    start_a_streaming_worker(system)

    started = time.monotonic()
    code = system.stop(signal.SIGINT)

    assert code == 0
    assert system.wait_until_gone(10 - (time.monotonic() - started)) == []
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_term_and_hup_stop_everything_too(system: LocalSystem, number: int) -> None:
    assert system.stop(number, within_s=10) == 0
    assert system.wait_until_gone(1) == []


def test_kill_9_leaves_no_process_after_10_seconds(system: LocalSystem) -> None:
    invoke_a_hanging_function(system)
    start_a_streaming_worker(system)

    system.kill()

    assert system.wait_until_gone(10) == []


def test_written_data_survives_ctrl_c(system: LocalSystem, ports: tuple[int, ...]) -> None:
    put(system, "just before")
    system.stop()

    with LocalSystem(system.state, ports) as again:
        assert items(again) == {"just before"}


def test_data_older_than_5_seconds_survives_kill_9(system: LocalSystem, ports: tuple[int, ...]) -> None:
    put(system, "old")
    time.sleep(6)
    # The emulator is killed first, because it saves its data when its parent ends.
    for process in [line for line in system.processes() if "tools.local.emulator" in line]:
        os.kill(int(process.split()[0]), signal.SIGKILL)
    system.kill()

    with LocalSystem(system.state, ports) as again:
        assert items(again) == {"old"}


def test_stopping_during_start_loses_nothing(system: LocalSystem, ports: tuple[int, ...]) -> None:
    put(system, "stored before")
    system.stop()

    for tenths in range(5, 14):
        with closing(LocalSystem(system.state, ports).start()):
            time.sleep(tenths / 10)

    with LocalSystem(system.state, ports) as again:
        assert items(again) == {"stored before"}


def test_exits_with_1_and_names_a_part_that_died(system: LocalSystem) -> None:
    for process in [line for line in system.processes() if "tools.rehearsal.server" in line]:
        os.kill(int(process.split()[0]), signal.SIGKILL)

    assert system.wait(10) == 1
    assert any("the rehearsal TokenHub ended unexpectedly" in line for line in system.output)
    assert system.wait_until_gone(10) == []


def test_explains_a_taken_port_in_one_sentence(system: LocalSystem, tmp_path: Path) -> None:
    other = free_ports(2)
    with closing(LocalSystem(tmp_path / "other", (system.port, *other)).start()) as second:
        assert second.wait(10) == 1

    assert " ".join(second.output).strip() == (
        f"PORT {system.port} is in use by another program. Stop it, or choose another port: "
        f"make dev PORT={system.port + 1}"
    )


def test_refuses_a_state_folder_in_use(system: LocalSystem) -> None:
    with closing(LocalSystem(system.state, free_ports(3)).start()) as second:
        assert second.wait(20) == 1

    assert "is in use by another local system" in " ".join(second.output)


def test_explains_state_of_another_version_in_one_sentence(
    tmp_path: Path, deployed: Path, ports: tuple[int, ...]
) -> None:
    shutil.copytree(deployed, tmp_path / "state")
    (tmp_path / "state" / "version.json").write_text(json.dumps({"layout": 0, "ministack": "0.1"}))
    with closing(LocalSystem(tmp_path / "state", ports).start()) as system:
        assert system.wait(10) == 1

    text = " ".join(system.output)
    assert f"{tmp_path / 'state'} was written by another version" in text
    assert "make reset" in text
    assert "Traceback" not in text


def test_stops_when_the_starting_process_is_gone(tmp_path: Path, deployed: Path, ports: tuple[int, ...]) -> None:
    shutil.copytree(deployed, tmp_path / "state")
    starter = subprocess.Popen(["sleep", "600"])
    with LocalSystem(tmp_path / "state", ports, environ={"STOP_WITH": str(starter.pid)}) as system:
        starter.kill()
        starter.wait()

        assert system.wait(10) == 0


def test_stops_when_its_terminal_is_closed(tmp_path: Path, deployed: Path, ports: tuple[int, ...]) -> None:
    shutil.copytree(deployed, tmp_path / "state")
    controller, terminal = os.openpty()
    with LocalSystem(tmp_path / "state", ports, stdin=terminal) as system:
        os.close(terminal)
        os.close(controller)

        assert system.wait(10) == 0


def test_only_aws_starts_the_stack_without_the_gateway(tmp_path: Path, deployed: Path, ports: tuple[int, ...]) -> None:
    shutil.copytree(deployed, tmp_path / "state")
    with LocalSystem(tmp_path / "state", ports, arguments=("--only", "aws")) as system:
        assert len(system.token("admin")) == 48
        assert not listening(system.port)
        assert not listening(system.tokenhub_port)
