"""Every command in README.md and docs/ has a test listed here, or a reason why it is not tested.

The tests in tests/e2e read the commands from the pages. Whether the listed test runs the command is not checked here.
"""

import re
import shlex
from collections.abc import Iterator

import pytest

from tests.template import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FIRST_STEPS = "tests/e2e/test_readme.py::test_every_command_answers_as_the_readme_says"
SAM_LOCAL = "tests/e2e/test_readme.py::test_sam_local_answers_on_the_same_local_aws"
BOOTSTRAP = "tests/e2e/test_readme.py::test_bootstrap_local_registers_the_provider_again"
REGISTRATION = "tests/e2e/test_smoke.py::test_the_registration_of_the_operating_page_works_as_it_is_written"
DEPLOYMENT = "tests/e2e/test_readme.py::test_a_deployment_is_made_changed_and_taken_away_as_the_operating_page_says"
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
    "make -s e2e": "tests/e2e/test_smoke.py::test_every_check_passes_with_a_provider_that_is_registered_for_it",
}
NOT_RUN = {
    "git clone": "the URL is a placeholder; tests/e2e/test_readme.py clones this repository instead",
    "aws dynamodb scan": "needs the AWS CLI; tests/e2e/test_deploy_cycle.py reads the retained table with boto3",
}


def commands(block: str) -> Iterator[str]:
    """The commands of a block: one per line, joined over open quotes and trailing backslashes."""
    command = ""
    for line in block.splitlines():
        command += line + "\n"
        if line.endswith("\\"):
            continue
        try:
            shlex.split(command)
        # A quote is still open.
        except ValueError:
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
def test_each_command_is_tested_or_exempt(command: str) -> None:
    assert len([start for start in RUN_BY | NOT_RUN if command.startswith(start)]) == 1


@pytest.mark.parametrize("place", sorted(set(RUN_BY.values())))
def test_each_named_test_exists(place: str) -> None:
    file, _, name = place.partition("::")

    assert f"\ndef {name}(" in (ROOT / file).read_text()


def test_lists_only_commands_shown_on_a_page() -> None:
    shown = [parameter.values[0] for parameter in SHOWN]

    assert [start for start in RUN_BY | NOT_RUN if not any(str(c).startswith(start) for c in shown)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_and_links_exist(page: object) -> None:
    text = (ROOT / str(page)).read_text()
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    links = re.findall(r"\]\(([\w./-]+\.\w+)\)", text)

    assert set(re.findall(r"`make (?:-s )?([\w-]+)", text)) <= targets
    assert [link for link in links if not ((ROOT / str(page)).parent / link).exists()] == []
