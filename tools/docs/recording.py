"""Records the quick start of README.md as an animated SVG. `make recording` runs it.

It starts `make dev` on free ports with a temporary state folder, runs the README's commands against it, and captures
their output with its times. The picture shows the default ports, and no path of this machine.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tools.docs import terminal_svg

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs/images/quickstart.svg"
DEFAULT_PORTS = {"PORT": "8080", "AWS_PORT": "4566", "TOKENHUB_PORT": "8090"}
STATE = ROOT / ".local/recording"
HEALTHY_WITHIN_S = 90
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass
class Step:
    """A command and its output: each line with the seconds since the start of the command."""

    command: str
    lines: list[tuple[float, str]] = field(default_factory=list)


def quick_start(readme: str) -> list[str]:
    """Returns the commands of the README from `make dev` to the first completion, in its order."""
    clone, register, show, complete, *_ = (block.strip() for block in BLOCK.findall(readme))
    return [clone.splitlines()[-1], register, show, complete]


def free_ports() -> dict[str, str]:
    """Returns a free port for each port option of `make dev`."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in DEFAULT_PORTS]
    ports = [str(server.getsockname()[1]) for server in sockets]
    for server in sockets:
        server.close()
    return dict(zip(DEFAULT_PORTS, ports, strict=True))


def replace_ports(text: str, ports: Mapping[str, str], replacements: Mapping[str, str]) -> str:
    """Returns the text with each port of `ports` replaced by the port of `replacements` with the same name."""
    for name, port in ports.items():
        text = re.sub(rf"(?<!\d){port}(?!\d)", replacements[name], text)
    return text


def cleaned(step: Step, ports: Mapping[str, str]) -> Step:
    """Returns the step with the default ports and state folder, and with paths relative to the repository."""

    def clean(text: str) -> str:
        text = text.replace(str(STATE), ".local/state").replace(f"{ROOT}/", "")
        return replace_ports(text, ports, DEFAULT_PORTS)

    return Step(clean(step.command), [(at_s, clean(line)) for at_s, line in step.lines])


def timed(lines: Iterable[str]) -> Iterator[tuple[float, str]]:
    """Yields each line that is not blank, with the seconds since the first call."""
    began = time.monotonic()
    for line in lines:
        if line.strip():
            yield time.monotonic() - began, line.rstrip()


@contextmanager
def running(command: str, environ: Mapping[str, str]) -> Iterator[Step]:
    """Runs `make dev`, yields its output up to the line that reports readiness, and stops it at the end."""
    process = subprocess.Popen(
        command.split(),
        cwd=ROOT,
        # Without an outer make's MAKEFLAGS and MAKELEVEL: the former overrides the environment, the latter adds output.
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | dict(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    step = Step(command)
    try:
        for at_s, line in timed(process.stdout or ()):
            step.lines.append((at_s, line))
            if re.match(r"Ready\b", line):
                break
        else:
            raise RuntimeError("\n".join([f"`{command}` ended early:", *(line for _, line in step.lines)]))
        yield step
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        # Reads the rest of the output, so that a full pipe cannot block the end.
        process.communicate(timeout=60)


def run(command: str) -> Step:
    """Runs a shell command and captures its standard output. Raises CalledProcessError."""
    # curl writes a progress meter to standard error unless its output is a terminal.
    shell = ["bash", "-o", "pipefail", "-c", command]
    with subprocess.Popen(shell, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        step = Step(command, list(timed(process.stdout or ())))
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return step


def wait_until_healthy(port: str) -> None:
    """Returns after the first good heartbeat of every provider. Raises TimeoutError."""
    end = time.monotonic() + HEALTHY_WITHIN_S
    while time.monotonic() < end:
        with urllib.request.urlopen(f"http://localhost:{port}/api/v1/providers", timeout=10) as answer:
            if set(re.findall(rb'"status": ?"(\w+)"', answer.read())) == {b"healthy"}:
                return
        time.sleep(0.5)
    raise TimeoutError(f"No provider was healthy within {HEALTHY_WITHIN_S} s.")


def record(commands: list[str], ports: Mapping[str, str]) -> list[Step]:
    """Runs the quick start on these ports and returns its cleaned steps."""
    start, register, show, complete = (replace_ports(command, DEFAULT_PORTS, ports) for command in commands)
    with running(start, {**ports, "STATE": str(STATE)}) as dev:
        steps = [dev, run(register)]
        wait_until_healthy(ports["PORT"])
        steps += [run(show), run(complete)]
    return [cleaned(step, ports) for step in steps]


def main() -> None:
    """Records the quick start and writes the picture."""
    # Data of an interrupted recording would be restored with other ports.
    shutil.rmtree(STATE, ignore_errors=True)
    try:
        steps = record(quick_start((ROOT / "README.md").read_text()), free_ports())
    finally:
        shutil.rmtree(STATE, ignore_errors=True)
    dev, *others = steps
    scenes = [("Terminal 1", [dev]), ("Terminal 2", others)]
    PICTURE.write_text(terminal_svg.render([(name, [(s.command, s.lines) for s in shown]) for name, shown in scenes]))
    print(f"Wrote {PICTURE.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
