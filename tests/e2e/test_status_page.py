"""The status page in a real browser: every state, the token, the network, accessibility and the strict policy."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from gateway.api.status_routes import Openness
from gateway.registry.provider import Status
from tests.e2e.browser import TIMEOUT_MS, Tab, chromium, open_tab
from tests.status_site import ERROR, TOKEN, World, history, overview, serving, stale

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
expect.set_options(timeout=TIMEOUT_MS)

PHONE = {"viewport": {"width": 390, "height": 844}}
UNAUTHORIZED = "the server responded with a status of 401"
Visit = Callable[..., AbstractContextManager[Tab]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def visit(browser: Browser) -> Visit:
    """Serves a world, opens its page and signs in. Fails at the end if the page had a problem."""

    @contextmanager
    def open_page(
        world: World, *, openness: Openness = "token", token: str = TOKEN, allowed: str = "-", **options: Any
    ) -> Iterator[Tab]:
        with serving(world, openness) as url, open_tab(browser, **options) as tab:
            tab.page.goto(url)
            if openness == "token" and token:
                sign_in(tab.page, token)
            yield tab
            assert [problem for problem in tab.problems if allowed not in problem] == []

    return open_page


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Show status").click()


def a_world(**statuses: str) -> World:
    now = datetime.now(UTC)
    world = World(
        providers=[overview(name, now, cast("Status", status), name=name) for name, status in statuses.items()]
    )
    for name, status in statuses.items():
        if status != "pending":
            world.histories[name] = history(now, failed_cells=[0, 5] if status == "failed" else [], failed_days=[3, 40])
    return world


def card(page: Page, name: str) -> Any:
    return page.locator("article", has=page.get_by_role("heading", name=name, exact=True))


def test_healthy_provider_shows_uptime_charts_and_incidents(visit: Visit) -> None:
    with visit(a_world(main="healthy")) as tab:
        main = card(tab.page, "main")
        expect(tab.page.get_by_role("heading", name="The provider is healthy")).to_be_visible()
        expect(main.locator(".pill")).to_have_text("Healthy")
        expect(main.get_by_text("for 1 h", exact=True)).to_be_visible()
        for span in ("24 hours", "7 days", "30 days", "90 days"):
            expect(main.locator(".uptimes div", has_text=f"uptime, {span}")).to_contain_text("%")
        expect(main.get_by_role("img", name="Last 24 hours: 2,880 heartbeats, none failed.")).to_be_visible()
        expect(main.get_by_role("img", name=re.compile("^Last 90 days: .*720 failed, in 2 of 90"))).to_be_visible()
        expect(main.get_by_role("img", name=re.compile("^Response time .*Time to first token: 150 ms"))).to_be_visible()
        assert main.locator("svg.bars g").count() == 48
        assert main.locator("svg.strip g").count() == 90
        assert main.locator("svg.lines path").count() == 2
        expect(main.locator(".incidents li")).to_have_count(2)
        assert tab.violations() == []


def test_failed_provider_comes_first_and_shows_its_error(visit: Visit) -> None:
    with visit(a_world(alpha="healthy", zeta="failed")) as tab:
        expect(tab.page.get_by_role("heading", name="1 provider failed")).to_be_visible()
        assert tab.page.locator("article h3").all_inner_texts() == ["zeta", "alpha"]
        failed = card(tab.page, "zeta")
        expect(failed.locator(".pill")).to_have_text("Failed")
        expect(failed.get_by_text(f"Error: {ERROR}")).to_be_visible()
        # A failed column also has another shape.
        assert failed.locator("svg.bars g", has=tab.page.locator(".c-bad")).first.locator("rect.c-bad").count() == 2
        expect(tab.page.get_by_role("status")).to_have_text("1 provider failed")
        assert tab.violations() == []


def test_shows_the_warning_and_the_mute_of_a_provider(visit: Visit) -> None:
    world = a_world(main="failed")
    [plain] = world.providers
    health = replace(plain.health, last_heartbeat_warning="TokenHub answered with the model other.")
    world.providers = [replace(plain, health=health, muted_until=datetime.now(UTC) + timedelta(hours=2))]
    with visit(world) as tab:
        main = card(tab.page, "main")
        expect(main.get_by_text("Warning: TokenHub answered with the model other.")).to_be_visible()
        expect(main.get_by_text(re.compile("^for 1 h, muted until .+"))).to_be_visible()
        assert tab.violations() == []


def test_pending_provider_has_empty_charts(visit: Visit) -> None:
    with visit(a_world(new="pending")) as tab:
        new = card(tab.page, "new")
        expect(new.get_by_text("Waits for its first heartbeat")).to_be_visible()
        expect(new.get_by_role("img", name="Last 24 hours: no heartbeats.")).to_be_visible()
        expect(new.get_by_text("None recorded.")).to_be_visible()
        assert tab.violations() == []


def test_stale_provider_is_out_of_date(visit: Visit) -> None:
    world = a_world(main="healthy")
    world.providers = [stale(world.providers[0], datetime.now(UTC))]
    with visit(world) as tab:
        expect(tab.page.get_by_role("heading", name="No recent heartbeats")).to_be_visible()
        expect(card(tab.page, "main").locator(".pill")).to_have_text("Out of date")
        expect(card(tab.page, "main").get_by_text("last one 10 min ago, healthy")).to_be_visible()
        assert tab.violations() == []


def test_empty_registry_says_what_to_do(visit: Visit) -> None:
    with visit(World()) as tab:
        expect(tab.page.get_by_role("heading", name="No provider is registered")).to_be_visible()
        expect(tab.page.get_by_text("POST /api/v1/providers")).to_be_visible()
        assert tab.violations() == []


def test_wrong_token_asks_again_and_is_forgotten(visit: Visit) -> None:
    with visit(a_world(main="healthy"), token="wrong", allowed=UNAUTHORIZED) as tab:
        expect(tab.page.get_by_role("alert").get_by_text("This token is not valid.")).to_be_visible()
        assert tab.page.evaluate("sessionStorage.length") == 0
        assert tab.violations() == []
        sign_in(tab.page, "schlüssel")
        expect(tab.page.get_by_role("alert").get_by_text("This token is not valid.")).to_be_visible()
        sign_in(tab.page, TOKEN)
        expect(card(tab.page, "main")).to_be_visible()


def test_token_stays_in_the_tab_and_in_no_address(visit: Visit) -> None:
    with visit(a_world(main="healthy")) as tab:
        addresses: list[str] = []
        tab.page.on("request", lambda request: addresses.append(request.url))
        expect(card(tab.page, "main")).to_be_visible()
        tab.page.reload()
        expect(card(tab.page, "main")).to_be_visible()
        assert addresses
        assert not [address for address in (*addresses, tab.page.url) if TOKEN in address]
        assert tab.page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
        tab.page.get_by_role("button", name="Forget token").click()
        expect(tab.page.get_by_label("Token", exact=True)).to_be_focused()
        assert tab.page.evaluate("sessionStorage.length") == 0
        assert TOKEN not in tab.page.content()
        assert tab.page.locator("article").count() == 0


def test_public_page_needs_no_token_and_shows_no_cause(visit: Visit) -> None:
    with visit(a_world(main="failed"), openness="public") as tab:
        expect(card(tab.page, "main").locator(".pill")).to_have_text("Failed")
        assert "401" not in tab.page.locator("main").inner_text()
        assert tab.violations() == []
        tab.page.get_by_role("button", name="Show causes").click()
        tab.page.get_by_role("button", name="Back to the public page").click()
        expect(card(tab.page, "main")).to_be_visible()
        tab.page.get_by_role("button", name="Show causes").click()
        sign_in(tab.page, TOKEN)
        expect(tab.page.get_by_text("Error: HTTP 401: invalid api key.")).to_be_visible()


@pytest.mark.parametrize("options", [{}, PHONE, {"color_scheme": "dark"}], ids=["desktop", "phone", "dark"])
def test_fifty_providers_come_in_one_request(visit: Visit, options: dict[str, Any]) -> None:
    names = {f"p{number:02}": "failed" if number == 7 else "healthy" for number in range(50)}
    with visit(a_world(**names), token="", **options) as tab:
        requests: list[str] = []
        tab.page.on("request", lambda request: requests.append(request.url))
        sign_in(tab.page, TOKEN)
        expect(tab.page.locator("article")).to_have_count(50)
        assert len(requests) == 1
        assert tab.page.locator("article h3").first.inner_text() == "p07"
        # Nothing is wider than the screen.
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        tab.page.get_by_label("Filter this page by name").fill("p1")
        expect(tab.page.locator("article:visible")).to_have_count(10)
        assert tab.violations() == []


def test_more_providers_come_in_pages(visit: Visit) -> None:
    with visit(a_world(**{f"p{number:03}": "healthy" for number in range(120)})) as tab:
        expect(tab.page.get_by_text("Page 1 of 3")).to_be_visible()
        tab.page.get_by_role("button", name="Next").press("Enter")
        expect(tab.page.get_by_text("Page 2 of 3", exact=True).last).to_be_visible()
        expect(card(tab.page, "p050")).to_be_visible()
        expect(tab.page.get_by_text("120 providers in total")).to_be_visible()


def test_offline_page_says_so_and_recovers(visit: Visit) -> None:
    with visit(a_world(main="healthy"), allowed="ERR_INTERNET_DISCONNECTED") as tab:
        expect(card(tab.page, "main")).to_be_visible()
        tab.context.set_offline(True)
        alert = tab.page.get_by_role("alert")
        expect(alert.get_by_text(re.compile("^You are offline. This shows the state of"))).to_be_visible()
        tab.page.get_by_role("button", name="Refresh").click()
        expect(card(tab.page, "main")).to_be_visible()
        assert tab.violations() == []
        tab.context.set_offline(False)
        expect(alert.get_by_text("You are offline")).to_be_hidden()


def test_unreachable_gateway_keeps_the_last_state_and_its_age(browser: Browser) -> None:
    with open_tab(browser) as tab:
        with serving(a_world(main="healthy")) as url:
            tab.page.goto(url)
            sign_in(tab.page, TOKEN)
            expect(card(tab.page, "main")).to_be_visible()
        tab.page.get_by_role("button", name="Refresh").click()
        expect(
            tab.page.get_by_text(re.compile("^The gateway cannot be reached. This shows the state of"))
        ).to_be_visible()
        expect(card(tab.page, "main")).to_be_visible()


def test_page_refreshes_itself_and_keeps_what_is_open(visit: Visit) -> None:
    world = a_world(**{f"p{number}": "healthy" for number in range(4)})
    with visit(world, token="") as tab:
        tab.page.clock.install()
        sign_in(tab.page, TOKEN)
        summary = card(tab.page, "p2").locator("summary").first
        summary.focus()
        summary.press("Enter")
        expect(card(tab.page, "p2").locator("svg.strip")).to_be_visible()
        now = datetime.now(UTC)
        world.clock = lambda: now + timedelta(seconds=20)
        failed = overview("p1", now, "failed", name="p1")
        world.providers = [failed if provider.id == "p1" else provider for provider in world.providers]
        tab.page.clock.run_for(31_000)
        expect(tab.page.get_by_role("heading", name="1 provider failed")).to_be_visible()
        expect(card(tab.page, "p2").locator("svg.strip")).to_be_visible()
        expect(card(tab.page, "p2").locator("summary").first).to_be_focused()
        tab.page.get_by_role("button", name="Pause").click()
        expect(tab.page.get_by_role("button", name="Pause")).to_have_attribute("aria-pressed", "true")


def test_page_works_by_keyboard(visit: Visit) -> None:
    with visit(a_world(main="failed"), token="") as tab:
        expect(tab.page.get_by_label("Token", exact=True)).to_be_focused()
        tab.page.keyboard.type(TOKEN)
        tab.page.keyboard.press("Enter")
        table = card(tab.page, "main").get_by_text("Last 24 hours as a table")
        expect(table).to_be_visible()
        for _ in range(10):
            tab.page.keyboard.press("Tab")
            if tab.page.evaluate("document.activeElement.closest('details.rows') !== null"):
                break
        tab.page.keyboard.press("Enter")
        expect(card(tab.page, "main").locator("tbody tr")).to_have_count(48)
        assert tab.violations() == []


def test_names_are_shown_as_text(visit: Visit) -> None:
    name = "<img src=x onerror=alert(1)>"
    with visit(a_world(**{name: "healthy"})) as tab:
        expect(tab.page.get_by_role("heading", name=name)).to_be_visible()
        assert tab.page.locator("article img").count() == 0


def test_policy_blocks_scripts_that_it_does_not_know(visit: Visit) -> None:
    with visit(a_world(main="healthy"), allowed="TrustedHTML") as tab:
        expect(card(tab.page, "main")).to_be_visible()
        with pytest.raises(Error, match="TrustedHTML"):
            tab.page.evaluate("document.body.innerHTML = '<img src=x onerror=alert(1)>'")
        with pytest.raises(Error, match="TrustedScript"):
            tab.page.add_script_tag(content="window.injected = true")
        assert tab.page.evaluate("window.injected") is None
        tab.problems.clear()
