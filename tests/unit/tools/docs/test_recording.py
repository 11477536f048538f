import subprocess

import pytest

from tools.docs import recording
from tools.docs.recording import DEFAULT_PORTS, ROOT, STATE, Step

PORTS = {"PORT": "18080", "AWS_PORT": "14566", "TOKENHUB_PORT": "18090"}


def test_reads_the_quick_start_from_the_first_blocks() -> None:
    readme = "\n".join(f"```sh\n{block}\n```\n" for block in ("git clone x\nmake dev", "one", "two", "three", "four"))

    assert recording.quick_start(readme) == ["make dev", "one", "two", "three"]


def test_replaces_whole_port_numbers_only() -> None:
    text = "http://localhost:8080 180800 8090"

    assert recording.replace_ports(text, DEFAULT_PORTS, PORTS) == "http://localhost:18080 180800 18090"


def test_cleaned_step_has_default_ports_and_no_machine_path() -> None:
    step = Step("curl localhost:18080", [(0.1, f"logs are in {STATE}/logs, code in {ROOT}/tools, port 18090")])

    cleaned = recording.cleaned(step, PORTS)

    assert cleaned.command == "curl localhost:8080"
    assert cleaned.lines == [(0.1, "logs are in .local/state/logs, code in tools, port 8090")]


def test_run_captures_lines_that_are_not_blank() -> None:
    step = recording.run("printf 'one\\n\\ntwo\\n'; echo error >&2")

    assert [line for _, line in step.lines] == ["one", "two"]


def test_run_raises_for_a_failed_command_of_a_pipe() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        recording.run("false | cat")


def test_start_raises_with_its_output_if_make_dev_ends_early() -> None:
    with (
        pytest.raises(RuntimeError, match="ended early:\ntrouble"),
        recording.running("echo trouble", {}),
    ):
        pass
