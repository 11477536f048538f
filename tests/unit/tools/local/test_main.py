import os
import subprocess
import sys

import pytest

from tools.local.__main__ import HELLO
from tools.local.settings import REPOSITORY

LINES = """\
curl -X POST http://localhost:8080/api/v1/providers -H "Content-Type: application/json" -d '{"id": "tokenhub", "name": "TokenHub", "type": "openai", "endpoint": "http://localhost:8090/v1", "model": "anthropic/claude-sonnet-4-20250514", "api_key": "your-tokenhub-api-key"}'
curl http://localhost:8080/api/v1/providers | jq '.[] | {id, status, last_heartbeat_error}'
curl -N http://localhost:8080/v1/chat/completions -H "Content-Type: application/json" -d '{"stream": true, "messages": [{"role": "user", "content": "Hello"}]}'"""  # noqa: E501 (as pasted)


def test_the_lines_to_paste_are_exactly_these() -> None:
    assert HELLO.format(port=8080, tokenhub_port=8090) == LINES


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"PORT": "many"}, "PORT must be a number, not 'many'."),
        ({"TOKENHUB": "maybe"}, "TOKENHUB must be on or off, not 'maybe'."),
    ],
)
def test_a_bad_choice_ends_at_once_with_one_sentence(environ: dict[str, str], sentence: str) -> None:
    command = [sys.executable, "-m", "tools.local"]
    ended = subprocess.run(
        command, env=os.environ | environ, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=30
    )

    assert (ended.returncode, ended.stdout, ended.stderr.strip()) == (1, "", sentence)
