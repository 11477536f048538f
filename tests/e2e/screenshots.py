"""Draws the pictures of the status page in README.md again: `python -m tests.e2e.screenshots`."""

from datetime import UTC, datetime

from playwright.sync_api import expect

from tests.e2e.browser import chromium, open_tab
from tests.status_site import TOKEN, World, history, overview, serving
from tests.template import ROOT

IMAGES = ROOT / "docs/images"
SIZE = {"width": 1120, "height": 830}


def world() -> World:
    now = datetime.now(UTC)
    names = {"eu": "TokenHub Europe", "main": "TokenHub production", "lab": "TokenHub lab"}
    providers = [overview(id_, now, "failed" if id_ == "eu" else "healthy", name=name) for id_, name in names.items()]
    histories = {
        "eu": history(now, failed_cells=[0, 1, 9], failed_days=[0, 3, 40]),
        "main": history(now, failed_days=[12]),
        "lab": history(now, failed_days=[60]),
    }
    return World(providers=providers, histories=histories)


def main() -> None:
    with chromium() as browser, serving(world()) as url:
        for theme in ("light", "dark"):
            with open_tab(browser, viewport=SIZE, color_scheme=theme) as tab:
                tab.page.goto(url)
                tab.page.get_by_label("Token", exact=True).fill(TOKEN)
                tab.page.get_by_role("button", name="Show status").click()
                expect(tab.page.locator("article")).to_have_count(3)
                tab.page.mouse.move(0, 0)
                tab.page.screenshot(path=IMAGES / f"status-{theme}.png")


if __name__ == "__main__":
    main()
