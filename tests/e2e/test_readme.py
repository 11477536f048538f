"""The README in a fresh clone, as a new user would try it: every command as it is written."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from tests import sam_local
from tests.local_system import free_ports
from tests.rehearsal import wait_until
from tests.template import ROOT
from tools.local import aws
from tools.local.ports import listening
from tools.local.stack import architecture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

README = (ROOT / "README.md").read_text()
PORTS = (8080, 4566, 8090)
FIRST_START_S = 120


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@contextmanager
def making(command: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A `make` in a session of its own, as in a terminal; nothing of it is left at the end."""
    made = subprocess.Popen(command.split(), cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield made
    finally:
        with suppress(ProcessLookupError):
            os.killpg(made.pid, signal.SIGKILL)
        made.communicate()


def wait_until_ready(made: subprocess.Popen[str]) -> None:
    assert made.stdout is not None
    assert any(re.search(r"\b[Rr]eady\b", line) for line in made.stdout)
    threading.Thread(target=made.stdout.read, daemon=True).start()  # or it would stop at a full pipe


def stop(made: subprocess.Popen[str]) -> None:
    """Ctrl-C: a terminal sends it to make and to what make runs."""
    os.killpg(made.pid, signal.SIGINT)
    assert made.wait(timeout=10) in (0, -signal.SIGINT)  # GNU make ends itself by the signal that it got


def user_path() -> str:
    """Without the tools that `make` has put before it: a new user has no `sam` yet."""
    return os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if ".venv" not in folder)


@dataclass
class Clone:
    """A fresh clone in which `make dev` runs."""

    folder: Path
    ready_after_s: float

    def run(self, commands: str, environ: Mapping[str, str] = MappingProxyType({})) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=os.environ | environ | {"PATH": user_path()},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def git(*arguments: str | Path) -> None:
    author = ("-c", "user.name=Upstream", "-c", "user.email=upstream@example.com")
    subprocess.run(["git", *author, *map(str, arguments)], check=True)


def origin(folder: Path) -> Path:
    """A repository with what is checked out here as its main, whether that is a branch or, in CI, a bare commit."""
    made = folder / "origin.git"
    git("clone", "-q", "--bare", ROOT, made)
    git("-C", made, "update-ref", "refs/heads/main", "HEAD")
    git("-C", made, "symbolic-ref", "HEAD", "refs/heads/main")
    return made


def release(folder: Path, line: str) -> None:
    """A new commit upstream, whose CHANGELOG.md ends with this line."""
    elsewhere = folder / "upstream"
    git("clone", "-q", folder / "origin.git", elsewhere)
    with (elsewhere / "CHANGELOG.md").open("a") as changelog:
        changelog.write(line)
    git("-C", elsewhere, "commit", "-qam", "A new version")
    git("-C", elsewhere, "push", "-q", "origin", "main")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    if taken := [port for port in PORTS if listening(port)]:
        pytest.skip(f"the README's own ports are taken: {taken}")
    folder = tmp_path_factory.mktemp("clone") / "tokenhub-gateway"
    git("clone", "-q", origin(folder.parent), folder)
    began = time.monotonic()
    with making("make dev", folder) as dev:
        wait_until_ready(dev)
        yield Clone(folder, time.monotonic() - began)
        stop(dev)
    shutil.rmtree(folder.parent)


def test_the_first_start_takes_less_than_two_minutes(clone: Clone) -> None:
    assert clone.ready_after_s < FIRST_START_S


def test_the_first_commands_are_clone_and_make_dev_within_30_lines() -> None:
    assert blocks("sh")[0].splitlines()[-1] == "make dev"
    assert "healthy" in "\n".join(README.splitlines()[:30])


def test_every_command_answers_as_the_readme_says(clone: Clone) -> None:
    _, register, show, complete, rehearse, *_, deploy = blocks("sh")

    assert json.loads(clone.run(register))["id"] == "tokenhub"
    healthy = blocks("json")[0]
    assert wait_until(lambda: clone.run(show) == healthy, 20, every=1)
    assert clone.run(complete).endswith("data: [DONE]\n\n")
    assert '"stream_end":"truncated"' in clone.run(rehearse)
    assert deploy == "make deploy ENV=dev\n"


def test_bootstrap_local_registers_the_provider_again(clone: Clone) -> None:
    [bootstrap] = [block for block in blocks("sh") if "bootstrap.local" in block]

    assert clone.run(bootstrap) == "tokenhub is healthy.\n"


def test_sam_local_answers_on_the_same_local_aws(clone: Clone) -> None:
    if reason := sam_local.trouble() or (listening(3000) and "port 3000 is taken") or None:
        pytest.skip(reason)
    once, start, ask = [block for block in blocks("sh") if "sam local" in block or ":3000" in block]
    register = blocks("sh")[1]

    clone.run(register)
    assert '"statusCode": 200' in clone.run(once)
    with making(f"{clone.folder}/.venv/bin/{start}", clone.folder) as api:
        assert wait_until(lambda: listening(3000), limit=120, every=0.5)
        assert [provider["id"] for provider in json.loads(clone.run(ask))] == ["tokenhub"]
        api.terminate()  # it takes its containers along
        api.wait(60)


AWS = f"http://127.0.0.1:{PORTS[1]}"
REHEARSED = aws.environment(AWS, {}) | {"REHEARSE": "1", "YES": "1", "SAM_CLI_POLL_DELAY": "0.2"}


def test_a_deployment_is_made_changed_and_taken_away_as_the_operating_page_says(clone: Clone) -> None:
    """`ENV=dev` on the local AWS of `make dev`."""
    page = (clone.folder / "docs/deploy.md").read_text()
    deploying = re.compile(r"^```sh\n((?:git pull[^\n]*\n)?make d.*?)^```$", re.DOTALL | re.MULTILINE)
    first, change, upgrade, end = deploying.findall(page)
    samconfig = clone.folder / "samconfig.toml"
    shipped = samconfig.read_text()

    def choose(days: int) -> None:
        ours = f"Architecture={architecture()} Platform=local AwsEndpointUrl={AWS} HistoryDays={days} Data=throw-away"
        samconfig.write_text(shipped.replace("Architecture=arm64 Data=throw-away", ours))

    choose(3)
    assert "aws secretsmanager get-secret-value" in clone.run(first, REHEARSED)
    assert len(clone.run("make -s token ENV=dev", REHEARSED).strip()) >= 32
    assert history_days_of_callers() == "3"
    choose(4)
    clone.run(change, REHEARSED)
    assert history_days_of_callers() == "4"
    release(clone.folder.parent, "- What is new.\n")
    answered = samconfig.read_text()
    clone.run(upgrade, REHEARSED)
    assert (clone.folder / "CHANGELOG.md").read_text().endswith("- What is new.\n")
    assert samconfig.read_text() == answered
    clone.run(end, REHEARSED)
    samconfig.write_text(shipped)
    assert not dev_functions()


def dev_functions() -> list[str]:
    found = aws.client("lambda", AWS).list_functions()["Functions"]
    return [f["FunctionName"] for f in found if f["FunctionName"].startswith("tokenhub-gateway-dev-Heartbeat")]


def history_days_of_callers() -> str:
    """Of the version that the alias leads to."""
    [name] = dev_functions()
    live = aws.client("lambda", AWS).get_function_configuration(FunctionName=name, Qualifier="live")
    return str(live["Environment"]["Variables"]["HISTORY_DAYS"])


def test_the_python_lines_print_the_answer(clone: Clone) -> None:
    token = clone.run("make -s token").strip()
    [python] = blocks("python")

    program = python.replace('api_key="…"', f'api_key="{token}"')
    assert clone.run(f"{ROOT}/.venv/bin/python - <<'END'\n{program}END\n") == "Hello"


def test_make_rotate_token_prints_the_token_that_opens_from_then_on(clone: Clone) -> None:
    rotated = clone.run("make -s rotate-token")

    assert rotated == clone.run("make -s token")


def test_make_docs_changes_nothing_where_nothing_changed(clone: Clone) -> None:
    clone.run("make -s docs && git diff --exit-code README.md docs")


def test_make_fuzz_tells_of_each_operation(clone: Clone) -> None:
    assert "POST /api/v1/providers" in clone.run("make -s fuzz CASES=1")


@pytest.mark.parametrize(("target", "port"), [("aws", "AWS_PORT"), ("tokenhub", "TOKENHUB_PORT")])
def test_make_starts_a_part_alone(clone: Clone, target: str, port: str) -> None:
    mine = dict(zip(("PORT", "AWS_PORT", "TOKENHUB_PORT"), free_ports(3), strict=True))
    options = " ".join(f"{name}={number}" for name, number in mine.items())

    with making(f"make {target} {options} STATE=.local/part", clone.folder) as made:
        wait_until_ready(made)
        assert listening(mine[port])
        assert not any(listening(number) for name, number in mine.items() if name != port)
        stop(made)


def test_make_reset_forgets_a_system_that_is_stopped_and_none_that_runs(clone: Clone) -> None:
    with pytest.raises(AssertionError, match="is in use by a local system, and nothing was deleted: stop that one"):
        clone.run("make -s reset")

    stopped = clone.folder / ".local/stopped"
    (stopped / "aws").mkdir(parents=True)
    assert "data is gone" in clone.run("make -s reset STATE=.local/stopped")
    assert [entry.name for entry in stopped.iterdir()] == ["lock"]


def test_every_make_target_that_is_named_is_there() -> None:
    named = set(re.findall(r"`make (?:-s )?([\w-]+)", README))
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert named <= targets
    assert {"dev", "test", "check", "verify", "token"} <= named


def test_a_second_start_takes_less_than_15_seconds_and_ctrl_c_stops_it_within_10(clone: Clone) -> None:
    """The clone's system is running: another one beside it, as the README says, has its own ports and state."""
    [line] = re.findall(r"`(make dev PORT=[^`]+)`", README)
    for limit in (60, 15):
        began = time.monotonic()
        with making(line, clone.folder) as dev:
            wait_until_ready(dev)
            assert time.monotonic() - began < limit
            stop(dev)
