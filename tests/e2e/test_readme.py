"""Runs every command of README.md and docs/local.md, as written, in a fresh clone."""

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
LOCAL_PAGE = (ROOT / "docs/local.md").read_text()
PORTS = (8080, 4566, 8090)
FIRST_START_S = 300


def blocks(language: str, page: str = README) -> list[str]:
    """Returns the fenced blocks of a page in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


@contextmanager
def making(command: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs a `make` command in a separate session, like a terminal, and kills all of it at the end."""
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
    # The command would block once the pipe is full.
    threading.Thread(target=made.stdout.read, daemon=True).start()


def stop(made: subprocess.Popen[str]) -> None:
    """Presses Ctrl-C: a terminal interrupts make and the programs that make runs."""
    os.killpg(made.pid, signal.SIGINT)
    # GNU make ends itself by the signal that it received.
    assert made.wait(timeout=10) in (0, -signal.SIGINT)


def user_path() -> str:
    """Returns the PATH without the folders that `make` adds: a new user has no `sam` yet."""
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
    """Creates a repository whose main is the commit that is checked out here, on a branch or, in CI, detached."""
    made = folder / "origin.git"
    git("clone", "-q", "--bare", ROOT, made)
    git("-C", made, "update-ref", "refs/heads/main", "HEAD")
    git("-C", made, "symbolic-ref", "HEAD", "refs/heads/main")
    return made


def release(folder: Path, line: str) -> None:
    """Commits upstream a CHANGELOG.md that ends with this line."""
    elsewhere = folder / "upstream"
    git("clone", "-q", folder / "origin.git", elsewhere)
    with (elsewhere / "CHANGELOG.md").open("a") as changelog:
        changelog.write(line)
    git("-C", elsewhere, "commit", "-qam", "A new version")
    git("-C", elsewhere, "push", "-q", "origin", "main")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    if taken := [port for port in PORTS if listening(port)]:
        pytest.skip(f"the ports of the README are in use: {taken}")
    folder = tmp_path_factory.mktemp("clone") / "tokenhub-gateway"
    git("clone", "-q", origin(folder.parent), folder)
    began = time.monotonic()
    with making("make dev", folder) as dev:
        wait_until_ready(dev)
        yield Clone(folder, time.monotonic() - began)
        stop(dev)
    shutil.rmtree(folder.parent)


def test_first_start_takes_under_five_minutes(clone: Clone) -> None:
    assert clone.ready_after_s < FIRST_START_S


def test_quick_start_is_in_the_first_30_lines() -> None:
    assert blocks("sh")[0].splitlines()[-1] == "make dev"
    assert "healthy" in "\n".join(README.splitlines()[:30])


def test_quick_start_commands_return_the_documented_answers(clone: Clone) -> None:
    _, register, show, complete, deploy, *_ = blocks("sh")

    assert json.loads(clone.run(register))["id"] == "tokenhub"
    healthy = blocks("json")[0]
    assert wait_until(lambda: clone.run(show) == healthy, 20, every=1)
    stream = clone.run(complete)
    assert '"object":"chat.completion.chunk"' in stream
    assert stream.endswith("data: [DONE]\n\n")
    assert deploy == "make deploy ENV=dev\n"


def test_rehearsal_commands_switch_an_outage_on_and_off(clone: Clone) -> None:
    _, register, *_ = blocks("sh")
    [rehearse] = [block for block in blocks("sh", LOCAL_PAGE) if "rehearse" in block]

    clone.run(register)
    assert '"stream_end":"truncated"' in clone.run(rehearse)


def test_bootstrap_script_registers_the_provider_again(clone: Clone) -> None:
    [bootstrap] = [block for block in blocks("sh", LOCAL_PAGE) if "bootstrap.local" in block]

    assert clone.run(bootstrap) == "tokenhub is healthy.\n"


def test_readme_copies_the_bootstrap_script_like_the_local_page() -> None:
    [copy] = [block for block in blocks("sh") if "bootstrap.local.example" in block]

    assert any(block.startswith(copy) for block in blocks("sh", LOCAL_PAGE))


def test_sam_local_answers_from_the_same_local_aws(clone: Clone) -> None:
    if reason := sam_local.trouble() or (listening(3000) and "port 3000 is in use") or None:
        pytest.skip(reason)
    once, start, ask = [block for block in blocks("sh", LOCAL_PAGE) if "sam local" in block or ":3000" in block]
    register = blocks("sh")[1]

    clone.run(register)
    assert '"statusCode": 200' in clone.run(once)
    with making(f"{clone.folder}/.venv/bin/{start}", clone.folder) as api:
        assert wait_until(lambda: listening(3000), limit=120, every=0.5)
        assert [provider["id"] for provider in json.loads(clone.run(ask))] == ["tokenhub"]
        # sam local removes its containers when it ends.
        api.terminate()
        api.wait(60)


AWS = f"http://127.0.0.1:{PORTS[1]}"
REHEARSED = aws.environment(AWS, {}) | {"REHEARSE": "1", "YES": "1", "SAM_CLI_POLL_DELAY": "0.2"}


def test_documented_commands_deploy_change_upgrade_and_delete_a_stack(clone: Clone) -> None:
    """Deploys `ENV=dev` to the local AWS of `make dev`."""
    pages = "\n".join(page.read_text() for page in sorted((clone.folder / "docs").glob("*.md")))
    deploying = re.compile(r"^```sh\n((?:git pull[^\n]*\n)?make d.*?)^```$", re.DOTALL | re.MULTILINE)
    first, change, upgrade, end = deploying.findall(pages)
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
    release(clone.folder.parent, "- A new entry.\n")
    answered = samconfig.read_text()
    clone.run(upgrade, REHEARSED)
    assert (clone.folder / "CHANGELOG.md").read_text().endswith("- A new entry.\n")
    assert samconfig.read_text() == answered
    clone.run(end, REHEARSED)
    samconfig.write_text(shipped)
    assert not dev_functions()


def dev_functions() -> list[str]:
    functions = aws.client("lambda", AWS).list_functions()["Functions"]
    return [f["FunctionName"] for f in functions if f["FunctionName"].startswith("tokenhub-gateway-dev-Heartbeat")]


def history_days_of_callers() -> str:
    """Returns HISTORY_DAYS of the version that the alias points to."""
    [name] = dev_functions()
    live = aws.client("lambda", AWS).get_function_configuration(FunctionName=name, Qualifier="live")
    return str(live["Environment"]["Variables"]["HISTORY_DAYS"])


def test_python_example_prints_the_answer(clone: Clone) -> None:
    token = clone.run("make -s token").strip()
    [python] = blocks("python")

    program = python.replace('api_key="…"', f'api_key="{token}"')
    assert clone.run(f"{ROOT}/.venv/bin/python - <<'END'\n{program}END\n") == "Hello"


def test_rotate_token_prints_the_new_token(clone: Clone) -> None:
    rotated = clone.run("make -s rotate-token")

    assert rotated == clone.run("make -s token")


def test_make_docs_keeps_current_pages_unchanged(clone: Clone) -> None:
    clone.run("make -s docs && git diff --exit-code README.md docs")


def test_make_fuzz_reports_each_operation(clone: Clone) -> None:
    assert "POST /api/v1/providers" in clone.run("make -s fuzz CASES=1")


@pytest.mark.parametrize(("target", "port"), [("aws", "AWS_PORT"), ("tokenhub", "TOKENHUB_PORT")])
def test_make_starts_one_part_alone(clone: Clone, target: str, port: str) -> None:
    mine = dict(zip(("PORT", "AWS_PORT", "TOKENHUB_PORT"), free_ports(3), strict=True))
    options = " ".join(f"{name}={number}" for name, number in mine.items())

    with making(f"make {target} {options} STATE=.local/part", clone.folder) as made:
        wait_until_ready(made)
        assert listening(mine[port])
        assert not any(listening(number) for name, number in mine.items() if name != port)
        stop(made)


def test_reset_deletes_stopped_systems_only(clone: Clone) -> None:
    with pytest.raises(
        AssertionError, match=r"is in use by a running local system\. Nothing was deleted\. Stop the system"
    ):
        clone.run("make -s reset")

    stopped = clone.folder / ".local/stopped"
    (stopped / "aws").mkdir(parents=True)
    assert "Deleted the local system's data" in clone.run("make -s reset STATE=.local/stopped")
    assert [entry.name for entry in stopped.iterdir()] == ["lock"]


def test_every_named_make_target_exists() -> None:
    named = set(re.findall(r"`make (?:-s )?([\w-]+)", README + LOCAL_PAGE))
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert named <= targets
    assert {"dev", "test", "check", "verify", "token"} <= named


def test_second_start_is_faster_than_the_first_and_ctrl_c_stops_it(clone: Clone) -> None:
    """Starts a second system beside the clone's, with separate ports and state, as docs/local.md shows."""
    [line] = re.findall(r"`(make dev PORT=[^`]+)`", LOCAL_PAGE)
    durations = []
    for _ in range(2):
        began = time.monotonic()
        with making(line, clone.folder) as dev:
            wait_until_ready(dev)
            durations.append(time.monotonic() - began)
            stop(dev)
    assert durations[1] < durations[0]
