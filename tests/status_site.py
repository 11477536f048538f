"""Providers and histories for tests of the status page, and a server with its real routes, headers and HTML."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from gateway.api.status_routes import Openness, StatusRoutes
from gateway.heartbeat.history import Uptime
from gateway.heartbeat.rollups import Incident
from gateway.heartbeat.summaries import Period, ProviderHistory, summarize
from gateway.registry.overview import ProviderOverview
from gateway.registry.provider import Health, Status
from gateway.status.page import Mode, status_page
from gateway.status.reader import StatusReader
from tests.template import ROOT

HTML = (ROOT / "functions/status/status.html").read_text()
TOKEN = "client-token"
ERROR = (
    "HTTP 401: invalid api key. TokenHub refuses the registered key. Register the provider again with a valid api_key."
)
STAGE = "/prod"
ROUTES = [
    ("/status", r"/status/?"),
    ("/status/data", r"/status/data"),
    ("/status/public/data", r"/status/public/data"),
    ("/status/public/feed.atom", r"/status/public/feed\.atom"),
    ("/status/public/{id}/badge.svg", r"/status/public/(?P<id>[^/]+)/badge\.svg"),
    ("/status/public/{id}/shields.json", r"/status/public/(?P<id>[^/]+)/shields\.json"),
    ("/status/public/{id}/live", r"/status/public/(?P<id>[^/]+)/live"),
]


def overview(provider_id: str, now: datetime, status: Status = "healthy", **changes: Any) -> ProviderOverview:
    """Returns a provider whose last heartbeat was 10 s ago and whose status changed an hour ago."""
    health = Health(
        status=status,
        last_heartbeat_at=None if status == "pending" else now - timedelta(seconds=10),
        last_heartbeat_latency_ms=None if status == "pending" else 412,
        last_heartbeat_ttft_ms=None if status == "pending" else 180,
        last_heartbeat_error=ERROR if status == "failed" else None,
        last_heartbeat_model=None if status == "pending" else "gpt-4o",
        consecutive_failures=120 if status == "failed" else 0,
        status_changed_at=None if status == "pending" else now - timedelta(hours=1),
    )
    created = now - timedelta(seconds=5) if status == "pending" else now - timedelta(days=120)
    plain = ProviderOverview(provider_id, f"TokenHub {provider_id}", created, health)
    return replace(plain, **changes)


def stale(provider: ProviderOverview, now: datetime) -> ProviderOverview:
    """Returns the provider as it is 10 minutes after its last heartbeat."""
    return replace(provider, health=replace(provider.health, last_heartbeat_at=now - timedelta(minutes=10)))


def empty_history(now: datetime) -> ProviderHistory:
    """Returns the history of a provider without heartbeats."""
    return summarize(None, (), Health(), now)


def history(now: datetime, *, failed_cells: Sequence[int] = (), failed_days: Sequence[int] = ()) -> ProviderHistory:
    """Returns a full history. Positions count from the newest cell or day, which is 0."""
    empty = empty_history(now)
    cells = []
    for position, cell in zip(range(47, -1, -1), empty.cells, strict=True):
        wave = (position * 37) % 11
        good = 60 - (45 if position in failed_cells else 0)
        cells.append(replace(cell, beats=60, good=good, latency_ms=380 + wave * 9, ttft_ms=150 + wave * 4))
    days = []
    for position, day in zip(range(89, -1, -1), empty.days, strict=True):
        days.append(replace(day, beats=2880, good=2880 - (360 if position in failed_days else 0)))
    incidents = [
        Incident(now - timedelta(days=position, hours=3), now - timedelta(days=position, hours=2), ERROR)
        for position in failed_days
        if position
    ]
    day_good = sum(cell.good for cell in cells)
    uptime: dict[Period, Uptime] = {
        "24h": Uptime(2880, day_good, 412, 690),
        "7d": Uptime(20160, 20160 - (2880 - day_good), 405, 688),
        "30d": Uptime(86400, 86400 - 360, 401, 702),
        "90d": Uptime(259200, 259200 - 360 * len(failed_days), 398, 711),
    }
    return ProviderHistory(now, uptime, tuple(cells), tuple(days), tuple(incidents))


@dataclass
class World:
    """What the fake reader returns. Tests change it while the server runs."""

    providers: list[ProviderOverview] = field(default_factory=list)
    histories: dict[str, ProviderHistory] = field(default_factory=dict)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    reads: list[tuple[str, int]] = field(default_factory=list)

    def read_providers(self) -> list[ProviderOverview]:
        self.reads.append(("providers", len(self.providers)))
        return self.providers

    def read_summaries(self, providers: Sequence[ProviderOverview], now: datetime) -> dict[str, ProviderHistory]:
        self.reads.append(("histories", len(providers)))
        return {provider.id: self.histories.get(provider.id) or empty_history(now) for provider in providers}

    def routes(self, openness: Openness = "token", mode: Mode = "token") -> StatusRoutes:
        reader = StatusReader(self.read_providers, self.read_summaries)
        return StatusRoutes(openness, status_page(HTML, mode), reader)


def status_event(path: str, method: str = "GET") -> dict[str, Any]:
    """Returns the parts of a REST proxy event that the routes read. `path` may have a query."""
    parts = urlsplit(path)
    for resource, pattern in ROUTES:
        if match := re.fullmatch(pattern, parts.path):
            return {
                "httpMethod": method,
                "resource": resource,
                "path": parts.path,
                "headers": {},
                "pathParameters": match.groupdict() or None,
                "queryStringParameters": dict(parse_qsl(parts.query)) or None,
                "requestContext": {"requestId": "request-1", "domainName": "gateway.example.com"},
            }
    raise LookupError(parts.path)


@contextmanager
def serving(world: World, openness: Openness = "token") -> Iterator[str]:
    """Serves the status page below /prod, and yields its URL. Checks the token of /status/data as API Gateway does."""
    routes = world.routes(openness, "public" if openness == "public" else "token")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = respond(routes, world, self.path, self.headers.get("Authorization"))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{STAGE}/status"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def respond(
    routes: StatusRoutes, world: World, path: str, authorization: str | None
) -> tuple[int, dict[str, str], bytes]:
    try:
        event = status_event(path.removeprefix(STAGE))
    except LookupError:
        return 404, {}, b""
    if event["resource"] == "/status/data" and authorization != f"Bearer {TOKEN}":
        body = {"type": "error", "error": {"message": "The token is missing or invalid.", "code": "unauthorized"}}
        return 401, {"Content-Type": "application/json"}, json.dumps(body).encode()
    answer = routes.answer(event, {"X-Request-Id": "request-1"}, world.clock())
    return answer["statusCode"], answer["headers"], answer["body"].encode()
