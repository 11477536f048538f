import os
import subprocess
import sys

from tests.integration.conftest import Register
from tests.local_system import LocalSystem
from tests.template import ROOT


def rehearse(system: LocalSystem, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PORT": str(system.port), "AWS_PORT": str(system.aws_port), "STATE": str(system.state)}
    command = [sys.executable, "-m", "tools.rehearsal.outage", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_shows_the_clients_view_and_the_log_line(system: LocalSystem, register: Register) -> None:
    register(heartbeat={"enabled": False})

    process = rehearse(system, "cut_clean")

    assert process.returncode == 0, process.stderr
    view, _, line = process.stdout.partition("The gateway's log line:")
    assert "200 OK" in view
    assert "event: error" in view
    assert '"stream_end":"truncated"' in line


def test_shows_the_error_of_an_outage_before_the_stream(system: LocalSystem, register: Register) -> None:
    register(heartbeat={"enabled": False})

    process = rehearse(system, "budget", "--whole")

    assert "429 Too Many Requests" in process.stdout
    assert "x-should-retry: false" in process.stdout
    assert '"code":"provider_budget_spent"' in process.stdout


def test_lists_the_known_outages_for_an_unknown_one(system: LocalSystem) -> None:
    process = rehearse(system, "nonsense")

    assert process.returncode == 1
    assert "cut_clean" in process.stderr
