import os
import subprocess
import sys

import pytest

from tools.local.__main__ import EXAMPLES
from tools.local.settings import REPOSITORY

# Prints the action of SIGINT when the module's own imports begin.
PROBE = """
import runpy, signal, sys

class Probe:
    def find_spec(self, name, path=None, target=None):
        if name == "tools.local.system":
            sys.exit(repr(signal.getsignal(signal.SIGINT)))

sys.meta_path.insert(0, Probe())
runpy.run_module("tools.local", run_name="__main__")
"""

LINES = """\
curl -X POST http://localhost:8080/api/v1/providers -H "Content-Type: application/json" -d '{"id": "tokenhub", "name": "TokenHub", "type": "openai", "endpoint": "http://localhost:8090/v1", "model": "anthropic/claude-sonnet-4-20250514", "api_key": "your-tokenhub-api-key"}'
curl -s http://localhost:8080/api/v1/providers | jq '.[] | {id, status, last_heartbeat_error}'
curl -N http://localhost:8080/v1/chat/completions -H "Content-Type: application/json" -d '{"stream": true, "messages": [{"role": "user", "content": "Hello"}]}'"""  # noqa: E501 (as pasted)


def test_example_commands_are_unchanged() -> None:
    assert EXAMPLES.format(port=8080, tokenhub_port=8090) == LINES


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"PORT": "many"}, "PORT must be a number, not 'many'."),
        ({"TOKENHUB": "maybe"}, "TOKENHUB must be on or off, not 'maybe'."),
    ],
)
def test_invalid_setting_exits_with_one_sentence(environ: dict[str, str], message: str) -> None:
    command = [sys.executable, "-m", "tools.local"]
    result = subprocess.run(
        command, env=os.environ | environ, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=30
    )

    assert (result.returncode, result.stdout, result.stderr.strip()) == (1, "", message)


def test_ctrl_c_during_the_imports_ends_the_process_directly() -> None:
    result = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, cwd=REPOSITORY, check=False)

    assert result.stderr.strip() == "<Handlers.SIG_DFL: 0>"
