"""Debian's Chromium, driven by Playwright. Playwright downloads no browser of its own."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

# CI sets this variable, so that a missing browser fails the tests instead of skipping them.
REQUIRED = "BROWSER"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MS = 60_000
LOCAL = re.compile(r"http://(127\.0\.0\.1|localhost):|data:")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yields a browser with an empty profile. Skips the test where Chromium is not installed."""
    path = shutil.which("chromium")
    if path is None:
        reason = "chromium is not installed"
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        # Playwright creates an empty user data directory.
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=TIMEOUT_MS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """A page and everything that it wrote to the console."""

    context: BrowserContext
    page: Page
    problems: list[str] = field(default_factory=list)

    def violations(self) -> list[Any]:
        """Returns the accessibility violations that axe-core finds."""
        results = Axe().run(self.page)
        return [(v["id"], [node["html"][:120] for node in v["nodes"]]) for v in results.response["violations"]]


@contextmanager
def open_tab(browser: Browser, **options: Any) -> Iterator[Tab]:
    """Opens a tab in UTC. Records console errors, exceptions and requests to other hosts as problems."""
    context = browser.new_context(timezone_id="UTC", locale="en-GB", **options)
    context.set_default_timeout(TIMEOUT_MS)
    tab = Tab(context, context.new_page())
    tab.page.on("console", lambda m: tab.problems.append(m.text) if m.type in ("error", "warning") else None)
    tab.page.on("pageerror", lambda error: tab.problems.append(str(error)))
    tab.page.on("request", lambda r: None if LOCAL.match(r.url) else tab.problems.append(r.url))
    try:
        yield tab
    finally:
        context.close()
