"""SnapStart restores many environments from one snapshot of init, so init opens no connection and starts no thread."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.template import ROOT, template

FUNCTIONS: dict[str, dict[str, Any]] = {
    name: resource["Properties"]
    for name, resource in template()["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}
ALL = template()["Globals"]["Function"]["Environment"]["Variables"]
VALUES = {"HISTORY_DAYS": "7", "LOG_LEVEL": "INFO", "PLATFORM": "aws", "PRIVATE_NETWORKS": "refuse"}
VALUES |= {"STATUS_PAGE": "token"}
NAMES = ("_TABLE", "_KEY", "_FUNCTION", "_SECRET", "_NAMESPACE")

INIT = """
import json, sys, threading
seen = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo") or event.startswith("_thread.start"):
        seen.append(event)
sys.path[:0] = sys.argv[2:]
sys.addaudithook(watch)
sys.path.insert(0, sys.argv[1])
import app
seen += ["a thread runs"] * (threading.active_count() > 1)
print(json.dumps(seen))
"""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_init_opens_no_connection_and_starts_no_thread(name: str) -> None:
    variables = dict.fromkeys(FUNCTIONS[name]["Environment"]["Variables"].keys() | ALL.keys(), "")
    variables |= {key: value for key, value in VALUES.items() if key in variables}
    credentials = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    credentials |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    names = {key: "name" for key in variables if key.endswith(NAMES)}
    folders = [ROOT / FUNCTIONS[name]["CodeUri"], ROOT / "layers/gateway", ROOT / "layers/streaming/python"]
    process = subprocess.run(
        [sys.executable, "-c", INIT, *map(str, folders)],
        env=variables | names | credentials,
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == []


REPEATED = re.compile(r"\brandom\.(?!SystemRandom\b)\w|from random import|uuid1")


def test_code_uses_no_random_generator_that_a_snapshot_repeats() -> None:
    sources = [path for part in ("functions", "layers") for path in (ROOT / part).rglob("*.py")]

    assert [path.name for path in sources if REPEATED.search(path.read_text())] == []
