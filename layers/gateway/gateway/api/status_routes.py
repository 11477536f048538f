"""The routes of the status page: each turns a REST proxy event into an answer to API Gateway."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from gateway.api.error_answer import JSON, error_answer
from gateway.core.errors import GatewayError
from gateway.core.status_errors import ProviderNotHealthy, StatusPageOff
from gateway.status import badge, feed
from gateway.status.document import number_of_pages, page_of, parse_page, public_status, state_of, token_status
from gateway.status.page import Page
from gateway.status.reader import CACHE_SECONDS, StatusReader

Openness = Literal["token", "public", "off"]
Headers = Mapping[str, str]

SECURITY_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
NO_CONTENT_POLICY = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
CACHED = {"Cache-Control": f"public, max-age={CACHE_SECONDS}"}
NOT_CACHED = {"Cache-Control": "no-store"}
# The feed reads the history of all providers, up to 1,000. Feed readers poll every few minutes at most.
FEED_CACHED = {"Cache-Control": "public, max-age=300"}
PUBLIC = "/status/public/"


@dataclass(frozen=True, slots=True)
class Answer:
    """A body with its content type and further headers."""

    body: str
    content_type: str
    headers: Headers


class StatusRoutes:
    """All routes under /status. `openness` is the parameter StatusPage."""

    def __init__(self, openness: Openness, page: Page, reader: StatusReader) -> None:
        self._openness = openness
        self._page = page
        self._reader = reader
        live = f"{PUBLIC}{{id}}/live"
        self._routes: dict[tuple[str, str], Callable[[dict[str, Any], datetime], Answer]] = {
            ("GET", "/status"): self._show_page,
            ("GET", "/status/data"): self._show_token_data,
            ("GET", f"{PUBLIC}data"): self._show_public_data,
            ("GET", f"{PUBLIC}feed.atom"): self._show_feed,
            ("GET", f"{PUBLIC}{{id}}/badge.svg"): self._show_badge,
            ("GET", f"{PUBLIC}{{id}}/shields.json"): self._show_shields,
            ("GET", live): self._show_live,
            ("HEAD", live): self._show_live,
        }

    def answer(self, event: dict[str, Any], headers: Headers, now: datetime) -> dict[str, Any]:
        """Returns the answer to a REST proxy event, with these headers and those of the status page."""
        common = {**headers, **SECURITY_HEADERS}
        try:
            self._require_open(event["resource"])
            answer = self._routes[event["httpMethod"], event["resource"]](event, now)
        except GatewayError as error:
            result = error_answer(error, common | NOT_CACHED)
        else:
            all_headers = {"Content-Type": answer.content_type, **common, **answer.headers}
            result = {"statusCode": 200, "headers": all_headers, "body": answer.body}
        return result | ({"body": ""} if event["httpMethod"] == "HEAD" else {})

    def _require_open(self, resource: str) -> None:
        is_public = resource.startswith(PUBLIC)
        if self._openness == "off" or (is_public and self._openness != "public"):
            raise StatusPageOff(public=is_public)

    def _show_page(self, _event: dict[str, Any], _now: datetime) -> Answer:
        return Answer(self._page.html, "text/html; charset=utf-8", self._page.headers)

    def _show_token_data(self, event: dict[str, Any], now: datetime) -> Answer:
        return _json(self._data(token_status, event, now), NOT_CACHED)

    def _show_public_data(self, event: dict[str, Any], now: datetime) -> Answer:
        return _json(self._data(public_status, event, now), CACHED)

    def _show_badge(self, event: dict[str, Any], now: datetime) -> Answer:
        picture = badge.svg(self._badge(event, now))
        return Answer(picture, "image/svg+xml; charset=utf-8", {**CACHED, **NO_CONTENT_POLICY})

    def _show_shields(self, event: dict[str, Any], now: datetime) -> Answer:
        return _json(badge.shields(self._badge(event, now)), CACHED)

    def _show_feed(self, event: dict[str, Any], now: datetime) -> Answer:
        providers = self._reader.providers(now)
        host = event["requestContext"].get("domainName") or "tokenhub-gateway"
        text = feed.feed(providers, self._reader.histories(providers, now), host, now)
        return Answer(text, feed.CONTENT_TYPE, {**FEED_CACHED, **NO_CONTENT_POLICY})

    def _show_live(self, event: dict[str, Any], now: datetime) -> Answer:
        """Raises ProviderNotHealthy, whose status tells a load balancer to use another target."""
        state = state_of(self._reader.provider(event["pathParameters"]["id"], now), now)
        if state != "healthy":
            raise ProviderNotHealthy("out of date" if state == "stale" else state)
        return _json({"status": state}, CACHED)

    def _data(self, build: Callable[..., Any], event: dict[str, Any], now: datetime) -> Any:
        providers = self._reader.providers(now)
        page = parse_page(_query(event).get("page"), number_of_pages(providers))
        return build(providers, self._reader.histories(page_of(providers, page), now), page, now)

    def _badge(self, event: dict[str, Any], now: datetime) -> badge.Badge:
        measure = badge.parse_measure(_query(event).get("of"))
        provider = self._reader.provider(event["pathParameters"]["id"], now)
        history = self._reader.histories([provider], now)[provider.id]
        return badge.make_badge(provider.name, state_of(provider, now), history, measure)


def _query(event: dict[str, Any]) -> dict[str, str]:
    return event.get("queryStringParameters") or {}


def _json(body: Any, headers: Headers) -> Answer:
    return Answer(json.dumps(body, separators=(",", ":")), JSON, {**headers, **NO_CONTENT_POLICY})
