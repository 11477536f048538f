import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from gateway.status.page import MODE_ATTRIBUTE, page_mode, status_page
from tests.status_site import HTML

PAGE = status_page(HTML, "token")
POLICY = dict(directive.split(" ", 1) for directive in PAGE.headers["Content-Security-Policy"].split("; "))
MAX_BYTES = 120 * 1024


class Elements(HTMLParser):
    """Collects the attributes and the contents of all elements."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.contents: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(HTML)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.lasttag in self.contents and data.strip():
            self.contents[self.lasttag].append(data)


ELEMENTS = Elements()


@pytest.mark.parametrize("element", ["script", "style"])
def test_policy_has_the_hash_of_the_inline_element(element: str) -> None:
    [content] = [text for text in ELEMENTS.contents[element] if len(text) > 500]
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()

    assert POLICY[f"{element}-src"] == f"'sha256-{digest}'"


def test_policy_allows_nothing_else() -> None:
    policy = PAGE.headers["Content-Security-Policy"]

    assert POLICY["default-src"] == POLICY["frame-ancestors"] == POLICY["base-uri"] == POLICY["form-action"] == "'none'"
    assert POLICY["connect-src"] == "'self'"
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "http" not in policy


def test_page_loads_nothing_from_outside() -> None:
    links = [value or "" for _, name, value in ELEMENTS.attributes if name in ("src", "href", "action", "srcset")]

    assert all(link.startswith("data:") for link in links)
    assert not re.search(r"@import|url\(|\bimport\(", HTML)
    assert set(re.findall(r"https?://[^\"'\s]+", HTML)) == {"http://www.w3.org/2000/svg"}


def test_page_has_no_inline_handlers_and_styles() -> None:
    """The policy would block them."""
    assert not [name for _, name, _ in ELEMENTS.attributes if name.startswith("on") or name == "style"]


def test_page_writes_no_html_from_data() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", HTML)


def test_page_is_small() -> None:
    """API Gateway compresses nothing by itself."""
    assert len(HTML.encode()) < MAX_BYTES


def test_page_stores_the_token_in_the_tab_only() -> None:
    assert "localStorage" not in HTML
    assert "document.cookie" not in HTML
    assert not re.search(r"(location|history)\.\w+\s*=|pushState|replaceState", HTML)


@pytest.mark.parametrize(
    ("openness", "local", "mode"),
    [("token", False, "token"), ("token", True, "local"), ("public", False, "public"), ("public", True, "public")],
)
def test_mode_of_the_page(openness: str, local: bool, mode: str) -> None:
    assert page_mode(openness, local=local) == mode
    assert HTML.count(MODE_ATTRIBUTE) == 1
    assert f'<html lang="en" data-mode="{mode}">' in status_page(HTML, page_mode(openness, local=local)).html
