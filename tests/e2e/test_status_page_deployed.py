"""The status page of a deployed local system, in a real browser."""

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import TIMEOUT_MS, chromium, open_tab
from tests.e2e.conftest import Gateway
from tests.rehearsal import RunningTokenHub, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PARAMETERS = "StatusPage=public"


def test_deployed_page_follows_a_provider_through_an_outage(gateway: Gateway, tokenhub: RunningTokenHub) -> None:
    gateway.register("main", f"{tokenhub.url}/v1", heartbeat={"enabled": True}, api_key="tokenhub_" + "0" * 64)
    with chromium() as browser, open_tab(browser) as tab, gateway.client() as http:
        live = f"{gateway.url}/status/public/main/live"
        assert wait_until(lambda: http.head(live).status_code == 200, 120, every=2)
        assert (http.head("/health").status_code, http.head("/health").content) == (200, b"")
        tab.page.goto(f"{gateway.url}/status")
        expect(tab.page.locator("article .pill")).to_have_text("Healthy", timeout=TIMEOUT_MS)

        tokenhub.rehearse("refuse_key")
        expect(tab.page.locator("article .pill")).to_have_text("Failed", timeout=2 * TIMEOUT_MS)
        assert http.head(live).status_code == 503
        tab.page.get_by_role("button", name="Show causes").click()
        tab.page.get_by_label("Token", exact=True).fill(gateway.token)
        tab.page.get_by_role("button", name="Show status").click()
        expect(tab.page.locator(".cause")).to_contain_text("Error: HTTP 401", timeout=TIMEOUT_MS)
        assert tab.violations() == []
        assert tab.problems == []
        assert len(http.get("/status").content) < 120 * 1024
