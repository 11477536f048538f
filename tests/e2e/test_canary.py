"""The key canary: calls every route, with success and with failure, on a TokenHub that repeats the key it receives.

That TokenHub repeats the key in bodies, headers, errors and streams. The test then searches all responses, logs,
stored items, events and metrics for the key. It does not search a model's 2xx answer, which the gateway must not
change.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import canary
from tests.e2e.canary import ANSWER, KEY, PROMPT, SCENARIO_NAMES, SHAPELESS_KEY, Place, leaks
from tests.e2e.canary_malformed import MALFORMED_HTTP
from tests.e2e.canary_run import CANNOT_FAIL, CanaryRun
from tests.local_system import LocalSystem
from tests.scripted_server import ScriptedServer
from tests.template import template
from tools.local.settings import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PARAMETERS = (
    "ConnectSeconds=1 FirstByteSeconds=3 StreamIdleSeconds=2 WholeSeconds=4 KeepAliveSeconds=0.5 StatusPage=public"
)
# Enough for a leak in every kind of place. The last two have keys with and without the shape of a key.
BRIEF_SCENARIOS = ("echo", "error-502", "error-503")


@contextmanager
def running(repository: Path = REPOSITORY, scenarios: tuple[str, ...] = SCENARIO_NAMES) -> Iterator[CanaryRun]:
    """Starts the local system of `repository`, and the TokenHub that its providers will use."""
    environ = {"TOKENHUB": "off", "AUTH": "true", "PARAMETERS": PARAMETERS}
    with ScriptedServer(canary.play) as upstream, LocalSystem(environ=environ, repository=repository) as system:
        run = CanaryRun(system, upstream.url.removesuffix("/v1"), scenarios)
        with run.http:
            yield run


def all_leaks(run: CanaryRun, stored: list[Place]) -> list[str]:
    secrets = (KEY, SHAPELESS_KEY, *run.tokens.values())
    leaked = [leak for place in run.responses for leak in leaks(place, *secrets)]
    return leaked + [leak for place in stored for leak in leaks(place, *secrets, PROMPT, ANSWER)]


@pytest.fixture(scope="module")
def canary_run() -> tuple[CanaryRun, list[str]]:
    """Calls every route, and returns the run and its leaks."""
    with running() as run:
        run.call_everything()
        stored = run.places()
    assert any("ProvidersTable" in place.where and "key_ciphertext" in place.text for place in stored)
    # At least one stream must have ended with an error event.
    assert any('"source": "tokenhub"' in place.text for place in run.responses)
    assert {"an event", "an execution of the workflow", "the metrics"} <= {place.where for place in stored}
    return run, all_leaks(run, stored)


def test_finds_no_key_token_prompt_or_answer_anywhere(canary_run: tuple[CanaryRun, list[str]]) -> None:
    assert not canary_run[1], "\n".join(sorted(set(canary_run[1])))


def test_exercised_every_route_with_success_and_failure(canary_run: tuple[CanaryRun, list[str]]) -> None:
    called = canary_run[0].called
    missed = []
    for route in _routes():
        statuses = called.get(route, set())
        if not (any(s < 400 for s in statuses) and any(s >= 400 for s in statuses)):
            missed.append(f"{route}: {sorted(statuses)}")
    assert missed == []


@pytest.mark.parametrize("kind", MALFORMED_HTTP)
def test_malformed_requests_have_the_error_shape(canary_run: tuple[CanaryRun, list[str]], kind: str) -> None:
    head, _, body = canary_run[0].malformed[kind].partition("\r\n\r\n")

    assert head.split()[1] == "400"
    assert json.loads(body)["error"]["code"] == "bad_request"


def _routes() -> set[str]:
    functions = [r["Properties"] for r in template()["Resources"].values() if r["Type"] == "AWS::Serverless::Function"]
    events = [event for function in functions for event in function.get("Events", {}).values()]
    routes = {(e["Properties"]["Method"], e["Properties"]["Path"]) for e in events if e["Type"] == "Api"}
    # The preflight function reads nothing.
    return {f"{method} {path}" for method, path in routes if path not in CANNOT_FAIL and method != "OPTIONS"}


REDACT_NOTHING = "return original"
REDACT_SHAPES_ONLY = "return KEY_SHAPED.sub(REDACTED, original)"
REDACTOR = """
def redact(original, secrets=()):
    {}

Redactor.__call__ = lambda self, text: redact(text)
"""


def with_redactor(statement: str, folder: Path) -> Path:
    """Copies the repository and replaces its redactor by this statement."""
    ignored = shutil.ignore_patterns(".git", ".venv", ".local", ".aws-sam", ".*_cache", "__pycache__")
    shutil.copytree(REPOSITORY, folder, ignore=ignored, dirs_exist_ok=True)
    (folder / ".local").mkdir()
    (folder / ".local/emulator").symlink_to(REPOSITORY / ".local/emulator")
    with (folder / "layers/gateway/gateway/core/redaction.py").open("a") as redaction:
        redaction.write(REDACTOR.format(statement))
    return folder


@pytest.mark.parametrize("statement", [REDACT_NOTHING, REDACT_SHAPES_ONLY], ids=["no redactor", "no registered keys"])
def test_fails_when_the_redactor_is_removed(tmp_path: Path, statement: str) -> None:
    with running(with_redactor(statement, tmp_path), BRIEF_SCENARIOS) as run:
        run.call_briefly()
        leaked = all_leaks(run, run.places())

    places = {leak.split(" contains ")[0] for leak in leaked}
    for kind in ("GET ", "POST ", "an event", "an item of ", "the log "):
        assert any(place.startswith(kind) for place in places), kind
