"""Every command of the pages is run by the test named here, or has a reason why not.

The tests of tests/e2e read the commands from the pages. This module checks that the named test exists. Reviewers check
that it runs that very command.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.template import ROOT

LAYER_PAGE = ROOT / "layers/streaming/README.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), LAYER_PAGE]
FENCED = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
QUICK_START = "tests/e2e/test_readme.py::test_quick_start_commands_return_the_documented_answers"
OUTAGE = "tests/e2e/test_readme.py::test_rehearsal_commands_switch_an_outage_on_and_off"
SAM_LOCAL = "tests/e2e/test_readme.py::test_sam_local_answers_from_the_same_local_aws"
BOOTSTRAP = "tests/e2e/test_readme.py::test_bootstrap_script_registers_the_provider_again"
REGISTRATION = "tests/e2e/test_smoke.py::test_documented_registration_works_as_written"
DEPLOYMENT = "tests/e2e/test_readme.py::test_documented_commands_deploy_change_upgrade_and_delete_a_stack"
CLAUDE_CODE = "tests/e2e/clients/test_claude_code.py::test_answers_in_one_request"
RUN_BY = {
    "make dev": "tests/e2e/test_readme.py::clone",
    "make -s rehearse": OUTAGE,
    "curl -X POST http://localhost:8080": QUICK_START,
    "curl -s http://localhost:8080": QUICK_START,
    "curl -N http://localhost:8080": QUICK_START,
    "curl -X PUT http://localhost:8090": OUTAGE,
    "curl -X DELETE http://localhost:8090": OUTAGE,
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
    "export ANTHROPIC_": CLAUDE_CODE,
    "export CLAUDE_CODE_DISABLE_": CLAUDE_CODE,
    "make -s e2e": "tests/e2e/test_smoke.py::test_passes_every_check_with_a_registered_provider",
}
NOT_RUN = {
    "git clone": "the address is a placeholder; tests/e2e/test_readme.py clones this repository instead",
    "aws dynamodb scan": "needs the AWS CLI; tests/e2e/test_deploy_cycle.py reads the retained table with boto3",
    "curl -X PATCH https://…": "the address is a placeholder; tests/functions/test_provider_changes.py sends it",
    'names="$(aws cloudformation': "needs the AWS CLI and a stack on AWS",
    "aws cloudformation deploy": "needs a stack on AWS; test_operating_page.py checks the template that it deploys",
    "aws cloudformation list-stack-resources": "needs the AWS CLI and a stack on AWS",
    "make bench BENCH=peers": "installs three gateways and takes ten minutes; tests/unit/tools/bench tests its parts",
    "pre-commit install": "installs a git hook; test_tables.py compares the hooks with the commands of make check",
}
# On the page of the streaming layer, some of these commands have another meaning.
LAYER_BUILD = "tests/structure/test_streaming_layer.py::test_readme_commands_build_the_example"
LAYER_RUN_BY = {
    "cd example": LAYER_BUILD,
    "sam build": LAYER_BUILD,
    "pip install --no-deps --target": "layers/streaming/tests/test_package.py::test_readme_command_fills_a_folder",
    "pytest": "tests/structure/test_streaming_layer.py::test_tests_of_the_layer_run_in_a_copy_of_its_folder",
}
LAYER_NOT_RUN = {
    "sam deploy --guided": "needs an AWS account and answers; test_readme_commands_build_the_example builds the stack",
    'curl -N "https://…': "the address is a placeholder; layers/streaming/tests/test_runtime.py streams the example",
    "sam delete": "needs a stack on AWS",
    "pip install .": "changes the environment of the tests; test_package.py builds the wheel that it installs",
    "pip install --group test": "downloads packages; test_streaming_layer.py compares the group's runtime client",
}


def listed(page: Path) -> dict[str, str]:
    """Returns the test or the reason for each command of a page, by the start of the command."""
    return LAYER_RUN_BY | LAYER_NOT_RUN if page == LAYER_PAGE else RUN_BY | NOT_RUN


def commands(block: str) -> Iterator[str]:
    """Yields the commands of a block. An open quote or a backslash continues a command on the next line."""
    command = ""
    for line in block.splitlines():
        command += line + "\n"
        if line.endswith("\\"):
            continue
        try:
            shlex.split(command)
        except ValueError:
            # A quote is still open.
            continue
        yield command.strip()
        command = ""


SHOWN = [
    pytest.param(page, command, id=f"{page.relative_to(ROOT)}: {command[:40]}")
    for page in PAGES
    for block in FENCED.findall(page.read_text())
    for command in commands(block)
]


@pytest.mark.parametrize(("page", "command"), SHOWN)
def test_every_command_has_a_test_or_a_reason(page: Path, command: str) -> None:
    assert len([start for start in listed(page) if command.startswith(start)]) == 1


@pytest.mark.parametrize(("page", "command"), SHOWN)
def test_urls_with_a_query_are_quoted(page: Path, command: str) -> None:
    """zsh, the default shell of macOS, takes an unquoted `?` for a file name pattern and runs nothing."""
    words = shlex.split(command, posix=False)

    assert [word for word in words if re.match(r"https?://\S*[?&*]", word)] == []


@pytest.mark.parametrize("place", sorted({*RUN_BY.values(), *LAYER_RUN_BY.values()}))
def test_every_named_test_exists(place: str) -> None:
    file, _, name = place.partition("::")

    assert f"\ndef {name}(" in (ROOT / file).read_text()


@pytest.mark.parametrize("of_layer", [False, True])
def test_every_listed_command_is_on_a_page(of_layer: bool) -> None:
    shown = [command for page, command in (one.values for one in SHOWN) if (page == LAYER_PAGE) == of_layer]
    starts = LAYER_RUN_BY | LAYER_NOT_RUN if of_layer else RUN_BY | NOT_RUN

    assert [start for start in starts if not any(str(command).startswith(start) for command in shown)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_named_make_target_and_linked_page_exists(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    links = re.findall(r"\]\(([\w./-]+\.\w+)(?:#[\w-]+)?\)", text)

    assert set(re.findall(r"`make (?:-s )?([\w-]+)", text)) <= targets
    assert [link for link in links if not (page.parent / link).exists()] == []


def anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub generates for the page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_linked_heading_exists(page: Path) -> None:
    links = re.findall(r"\]\(([\w./-]+\.md)#([\w-]+)\)", page.read_text())

    assert [(link, anchor) for link, anchor in links if anchor not in anchors(page.parent / link)] == []


def test_readme_registers_tokenhub_like_the_docs() -> None:
    """The smoke test runs the commands of docs/."""
    [registration] = [block for block in FENCED.findall((ROOT / "README.md").read_text()) if "GATEWAY_URL" in block]

    assert any(registration in FENCED.findall(page.read_text()) for page in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_pages_at_the_root_have_short_lines(page: str) -> None:
    lines = (ROOT / page).read_text().splitlines()
    may_be_long = re.compile(r"^\||<img |!\[|https?://")

    assert [line for line in lines if len(line) > 120 and not may_be_long.search(line)] == []


def test_every_file_named_in_contributing_exists() -> None:
    named = re.findall(r"`([\w.]+(?:/[\w.]+)+/?)`", (ROOT / "CONTRIBUTING.md").read_text())

    assert len(named) > 15
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_readme_has_140_to_180_lines() -> None:
    assert 140 <= len((ROOT / "README.md").read_text().splitlines()) <= 180


@pytest.mark.parametrize("page", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda page: page.name)
def test_requirement_files_include_existing_files(page: Path) -> None:
    """pip resolves a nested `-r` relative to the file that contains it."""
    included = re.findall(r"^-r (\S+)", page.read_text(), re.MULTILINE)

    assert [name for name in included if not (page.parent / name).exists()] == []
