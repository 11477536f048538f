"""Every command that README.md and docs/ show is run by the test named here, or stands here with a reason why not.

The tests of tests/e2e take the commands out of the pages; that the named one runs this very command is for its reader.
"""

import re
import shlex
from collections.abc import Iterator

import pytest

from tests.template import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FIRST_STEPS = "tests/e2e/test_readme.py::test_every_readme_command_answers_as_shown"
SAM_LOCAL = "tests/e2e/test_readme.py::test_sam_local_uses_the_same_local_aws"
BOOTSTRAP = "tests/e2e/test_readme.py::test_bootstrap_local_registers_the_provider_again"
REGISTRATION = "tests/e2e/test_smoke.py::test_documented_registration_works_as_written"
DEPLOYMENT = "tests/e2e/test_readme.py::test_deploys_changes_and_deletes_as_documented"
RUN_BY = {
    "make dev": "tests/e2e/test_readme.py::clone",
    "make -s rehearse": FIRST_STEPS,
    "curl -X POST http://localhost:8080": FIRST_STEPS,
    "curl http://localhost:8080": FIRST_STEPS,
    "curl -N http://localhost:8080": FIRST_STEPS,
    "curl -X PUT http://localhost:8090": FIRST_STEPS,
    "curl -X DELETE http://localhost:8090": FIRST_STEPS,
    "export TOKEN=": REGISTRATION,
    'GATEWAY_URL="${URL': REGISTRATION,
    "export PATH=": SAM_LOCAL,
    "sam build": SAM_LOCAL,
    "sam local": SAM_LOCAL,
    "curl http://127.0.0.1:3000": SAM_LOCAL,
    "cp bootstrap.local.example": BOOTSTRAP,
    "TOKENHUB_API_KEY=": BOOTSTRAP,
    "make deploy ENV=dev": DEPLOYMENT,
    "git pull": DEPLOYMENT,
    "make delete ENV=dev": DEPLOYMENT,
    "make -s e2e": "tests/e2e/test_smoke.py::test_passes_every_check_with_a_registered_provider",
}
NOT_RUN = {
    "git clone": "the address is yours to fill in; tests/e2e/test_readme.py clones this repository instead",
    "aws dynamodb scan": "needs the AWS CLI; tests/e2e/test_deploy_cycle.py reads the kept table with boto3",
}


def commands(block: str) -> Iterator[str]:
    """The commands of a block: a line, and those that an open quote or a backslash make part of it."""
    command = ""
    for line in block.splitlines():
        command += line + "\n"
        if line.endswith("\\"):
            continue
        try:
            shlex.split(command)
        except ValueError:  # a quote is open
            continue
        yield command.strip()
        command = ""


SHOWN = [
    pytest.param(command, id=f"{page.name}: {command[:40]}")
    for page in PAGES
    for block in FENCED.findall(page.read_text())
    for command in commands(block)
]


@pytest.mark.parametrize("command", SHOWN)
def test_each_command_is_run_by_a_test_or_is_not_for_a_reason(command: str) -> None:
    assert len([start for start in RUN_BY | NOT_RUN if command.startswith(start)]) == 1


@pytest.mark.parametrize("place", sorted(set(RUN_BY.values())))
def test_each_test_that_is_named_is_there(place: str) -> None:
    file, _, name = place.partition("::")

    assert f"\ndef {name}(" in (ROOT / file).read_text()


def test_nothing_is_listed_that_no_page_shows() -> None:
    shown = [parameter.values[0] for parameter in SHOWN]

    assert [start for start in RUN_BY | NOT_RUN if not any(str(c).startswith(start) for c in shown)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_and_every_page_that_is_named_is_there(page: object) -> None:
    text = (ROOT / str(page)).read_text()
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    links = re.findall(r"\]\(([\w./-]+\.\w+)\)", text)

    assert set(re.findall(r"`make (?:-s )?([\w-]+)", text)) <= targets
    assert [link for link in links if not ((ROOT / str(page)).parent / link).exists()] == []
