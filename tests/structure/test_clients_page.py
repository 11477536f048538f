"""docs/clients.md states the versions of the clients that the tests run, and the packages of Node are pinned."""

import json
import re

import pytest

from tests.template import ROOT

PAGE = (ROOT / "docs/clients.md").read_text()
NODE = ROOT / "tests/e2e/clients/node"
PACKAGES = json.loads((NODE / "package.json").read_text())["dependencies"]
# The names of the clients on the page, by package.
PYTHON = {"openai": "`openai` (Python)", "anthropic": "`anthropic` (Python)", "litellm": "LiteLLM", "llm": "**llm**"}
PYTHON |= {"langchain-openai": "langchain-openai", "pydantic-ai-slim": "pydantic-ai"}
NODE_NAMES = {
    "openai": "`openai` (Node)",
    "@anthropic-ai/sdk": "`@anthropic-ai/sdk` (Node)",
    "@anthropic-ai/claude-code": "Claude Code",
    "@ai-sdk/anthropic": "`@ai-sdk/anthropic`",
    "@ai-sdk/openai": "`@ai-sdk/openai`",
    "@openai/codex": "Codex",
    "@ai-sdk/openai-compatible": "`@ai-sdk/openai-compatible`",
    "ai": "AI SDK",
}


def pinned() -> list[tuple[str, str]]:
    """Returns the name on the page and the version of each client."""
    pins = [pin for file in ("dev", "clients") for pin in (ROOT / f"requirements/{file}.txt").read_text().split()]
    python = [pin.split("==") for pin in pins if "==" in pin and pin.partition("==")[0] in PYTHON.keys() - {"openai"}]
    [openai] = re.findall(r"^openai==(.+)$", (ROOT / "requirements/dev.txt").read_text(), re.MULTILINE)
    named = [(PYTHON[package], version) for package, version in [*python, ("openai", openai)]]
    return named + [(NODE_NAMES[package], version) for package, version in PACKAGES.items()]


@pytest.mark.parametrize(("name", "version"), pinned())
def test_page_states_the_tested_version(name: str, version: str) -> None:
    assert any(name in line and version in line for line in PAGE.splitlines())


def test_node_packages_are_pinned_without_download_addresses() -> None:
    lock = json.loads((NODE / "package-lock.json").read_text())

    assert [version for version in PACKAGES.values() if not re.fullmatch(r"[\d.]+", version)] == []
    assert lock["packages"][""]["dependencies"] == PACKAGES
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
