"""The HTML of the status page and its Content-Security-Policy, whose hashes are computed from the HTML."""

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Literal

Mode = Literal["token", "public", "local"]

MODE_ATTRIBUTE = 'data-mode="token"'
# `form-action` and `base-uri` do not fall back to `default-src`. The icon is a `data:` picture.
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


@dataclass(frozen=True, slots=True)
class Page:
    """An HTML page and the headers that restrict it."""

    html: str
    headers: dict[str, str]


def page_mode(openness: str, *, local: bool) -> Mode:
    """Returns the mode of the page. The local API server needs no token, so the page asks for none there."""
    if openness == "public":
        return "public"
    return "local" if local else "token"


def status_page(html: str, mode: Mode) -> Page:
    """Returns the page for a mode: `token` asks for a token, `public` shows the public data, `local` asks nothing."""
    page = html.replace(MODE_ATTRIBUTE, f'data-mode="{mode}"', 1)
    policy = POLICY.format(script=_hashes(page, "script"), style=_hashes(page, "style"))
    return Page(page, {"Content-Security-Policy": policy, "X-Frame-Options": "DENY", "Cache-Control": "no-cache"})


def _hashes(html: str, element: str) -> str:
    """Returns the CSP sources of all inline elements of a kind."""
    contents = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
