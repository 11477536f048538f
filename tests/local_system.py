"""Runs a complete local system for tests: `python -m tools.local` on free ports with a separate state folder."""

import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.local.settings import REPOSITORY
from tools.ops.tokens import local_token

READY_WITHIN_S = 300


def free_ports(count: int) -> tuple[int, ...]:
    """Returns ports that nothing listens on at the moment."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = tuple(int(server.getsockname()[1]) for server in servers)
    for server in servers:
        server.close()
    return ports


class LocalSystem:
    """Starts the system on entry, waits until it is ready, and stops it on exit.

    All systems share the build of the repository. Each has its own state.
    """

    def __init__(
        self,
        state: Path | None = None,
        ports: tuple[int, ...] | None = None,
        *,
        arguments: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        repository: Path = REPOSITORY,
    ) -> None:
        self._temporary = tempfile.mkdtemp(prefix="local-system-") if state is None else None
        self.state = state or Path(self._temporary or "") / "state"
        self.ports = ports or free_ports(3)
        self.port, self.aws_port, self.tokenhub_port = self.ports
        self._arguments = arguments
        self._environ = dict(environ or {})
        self._stdin = stdin
        self._repository = repository
        self._process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread()
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.output: list[str] = []

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def tokenhub_url(self) -> str:
        return f"http://localhost:{self.tokenhub_port}"

    @property
    def aws_url(self) -> str:
        return f"http://127.0.0.1:{self.aws_port}"

    def token(self, role: str = "client") -> str:
        return local_token(self.aws_url, role)

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_for(r"^Ready ", READY_WITHIN_S)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops the system if it still runs, and deletes a temporary state folder."""
        if self._process is not None:
            try:
                if self._process.poll() is None:
                    self.stop()
            finally:
                if self._process.poll() is None:
                    self.kill()
                self._reader.join(10)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def start(self) -> Self:
        """Starts the system without waiting."""
        names = ("PORT", "AWS_PORT", "TOKENHUB_PORT")
        variables = dict(zip(names, map(str, self.ports), strict=True)) | {"STATE": str(self.state)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.local", *self._arguments],
            stdin=self._stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self._repository,
            env=os.environ | variables | self._environ,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        return self

    def wait_for(self, pattern: str, within_s: float) -> str:
        """Returns the next matching line of output. Raises TimeoutError, or RuntimeError if the output ends first."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"no line matches {pattern!r}:\n" + "\n".join(self.output)) from None
            if line is None:
                raise RuntimeError(f"the output ended before a line matched {pattern!r}:\n" + "\n".join(self.output))
            if re.search(pattern, line):
                return line

    def stop(self, number: int = signal.SIGINT, within_s: float = 60) -> int:
        """Sends a signal and returns the exit code."""
        self._running.send_signal(number)
        return self.wait(within_s)

    def wait(self, within_s: float) -> int:
        """Waits for the end of a system and returns its exit code."""
        return self._running.wait(within_s)

    def kill(self) -> None:
        """Kills the parent process alone, as `kill -9` does."""
        self._running.kill()
        self._running.wait()

    @property
    def pid(self) -> int:
        return self._running.pid

    def processes(self) -> list[str]:
        """Returns this system's lines of `ps`. Every part has the state folder in its environment or arguments."""
        result = subprocess.run(["ps", "axeww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
        state_folder = re.compile(rf"{re.escape(str(self.state))}(?=[/\s]|$)")
        return [line for line in result.stdout.splitlines() if state_folder.search(line) and " ps axeww " not in line]

    def wait_until_gone(self, within_s: float) -> list[str]:
        """Waits until no process runs. Returns the processes that still run after that time."""
        deadline = time.monotonic() + within_s
        while (running := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return running

    @property
    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the system is not started")
        return self._process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.output.append(line.rstrip("\n"))
                self._lines.put(line)
        self._lines.put(None)
