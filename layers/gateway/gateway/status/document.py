"""Builds the JSON of the status page from providers and their histories. Pure functions."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import cast

from gateway.core.errors import InvalidRequest
from gateway.heartbeat.history import Uptime as PeriodUptime
from gateway.heartbeat.rollups import Incident
from gateway.heartbeat.summaries import ProviderHistory
from gateway.registry.overview import ProviderOverview
from gateway.registry.provider import format_timestamp
from gateway.status.views import (
    Charts,
    Counts,
    ProviderFields,
    PublicIncident,
    PublicProvider,
    PublicStatus,
    ResponseTime,
    ResponseTimes,
    State,
    StatusPage,
    TokenIncident,
    TokenProvider,
    TokenStatus,
    Uptime,
)

# 50 providers fit on a screen or two, and in one answer of about 250 KB.
PAGE_SIZE = 50
# In the order in which the page shows them: first those that need someone.
STATES: tuple[State, ...] = ("failed", "stale", "pending", "healthy")
# The full cause is in /api/v1/providers/{id}/incidents. 50 providers with ten incidents each stay well below 1 MB.
MAX_CAUSE_CHARACTERS = 200


def state_of(provider: ProviderOverview, now: datetime) -> State:
    """Returns the provider's status, or `stale` where it is out of date."""
    return "stale" if provider.is_stale(now) else provider.health.status


def sort_providers(providers: Iterable[ProviderOverview], now: datetime) -> list[ProviderOverview]:
    """Returns failed providers first, then those out of date, pending and healthy, each in the order of their names."""
    return sorted(providers, key=lambda p: (STATES.index(state_of(p, now)), p.name.casefold(), p.id))


def page_of(providers: Sequence[ProviderOverview], page: int) -> Sequence[ProviderOverview]:
    """Returns the providers of a page, counted from 1."""
    return providers[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]


def number_of_pages(providers: Sequence[ProviderOverview]) -> int:
    """Returns the number of pages, at least 1."""
    return max(1, -(-len(providers) // PAGE_SIZE))


def parse_page(text: str | None, pages: int) -> int:
    """Returns the page that a request names, 1 by default. A page after the last one is the last: providers may have
    been deleted. Raises InvalidRequest."""
    if text is None:
        return 1
    if not re.fullmatch("[1-9][0-9]{0,3}", text, re.ASCII):
        raise InvalidRequest("page is not valid. Send a whole number from 1.", param="page")
    return min(int(text), pages)


def public_status(
    providers: Sequence[ProviderOverview], histories: Mapping[str, ProviderHistory], page: int, now: datetime
) -> PublicStatus:
    """Returns a page of what everybody may read. `providers` are all, sorted; `histories` are those of the page."""
    shown = [_public_provider(p, histories[p.id], now) for p in page_of(providers, page)]
    return {**_status_page(providers, page, now), "public": True, "providers": shown}


def token_status(
    providers: Sequence[ProviderOverview], histories: Mapping[str, ProviderHistory], page: int, now: datetime
) -> TokenStatus:
    """Returns a page of what a token may read. `providers` are all, sorted; `histories` are those of the page."""
    shown = [_token_provider(p, histories[p.id], now) for p in page_of(providers, page)]
    return {**_status_page(providers, page, now), "providers": shown}


def _status_page(providers: Sequence[ProviderOverview], page: int, now: datetime) -> StatusPage:
    counts = Counter(state_of(provider, now) for provider in providers)
    return {
        "generated_at": format_timestamp(now),
        "public": False,
        "page": page,
        "pages": number_of_pages(providers),
        "total": len(providers),
        "counts": cast("Counts", {state: counts[state] for state in STATES}),
    }


def _public_provider(provider: ProviderOverview, history: ProviderHistory, now: datetime) -> PublicProvider:
    incidents = [_public_incident(incident) for incident in history.incidents]
    return {**_fields(provider, history, now), "incidents": incidents}


def _fields(provider: ProviderOverview, history: ProviderHistory, now: datetime) -> ProviderFields:
    return {
        "id": provider.id,
        "name": provider.name,
        "state": state_of(provider, now),
        "status": provider.health.status,
        "since": _timestamp(provider.health.status_changed_at),
        "last_heartbeat_at": _timestamp(provider.health.last_heartbeat_at),
        "muted_until": _timestamp(provider.muted_until) if provider.is_muted(now) else None,
        **_charts(history),
    }


def _token_provider(provider: ProviderOverview, history: ProviderHistory, now: datetime) -> TokenProvider:
    health = provider.health
    incidents: list[TokenIncident] = [
        {**_public_incident(incident), "cause": _shortened(incident.cause)} for incident in history.incidents
    ]
    return {
        **_fields(provider, history, now),
        "incidents": incidents,
        "default": provider.default,
        "heartbeats_enabled": provider.heartbeats,
        "latency_ms": health.last_heartbeat_latency_ms,
        "ttft_ms": health.last_heartbeat_ttft_ms,
        "model": health.last_heartbeat_model,
        "consecutive_failures": health.consecutive_failures,
        "error": health.last_heartbeat_error,
        "warning": health.last_heartbeat_warning,
    }


def _shortened(cause: str) -> str:
    return cause if len(cause) <= MAX_CAUSE_CHARACTERS else f"{cause[: MAX_CAUSE_CHARACTERS - 1]}…"


def _charts(history: ProviderHistory) -> Charts:
    """Returns one list for each series, which takes a third of the size of a list of objects."""
    spans, cells, days = history.uptime, history.cells, history.days
    return {
        "uptime": cast("Uptime", {span: _share(value) for span, value in spans.items()}),
        "response_time_ms": cast("ResponseTimes", {span: _percentiles(value) for span, value in spans.items()}),
        "cells": {
            "start": format_timestamp(cells[0].start),
            "minutes": 30,
            "beats": [cell.beats for cell in cells],
            "good": [cell.good for cell in cells],
            "latency_ms": [cell.latency_ms for cell in cells],
            "ttft_ms": [cell.ttft_ms for cell in cells],
        },
        "days": {
            "start": days[0].date.isoformat(),
            "beats": [day.beats for day in days],
            "good": [day.good for day in days],
        },
    }


def _share(uptime: PeriodUptime) -> float | None:
    return None if uptime.share is None else round(uptime.share, 6)


def _percentiles(uptime: PeriodUptime) -> ResponseTime:
    return {"p50": _rounded(uptime.p50_ms), "p95": _rounded(uptime.p95_ms)}


def _rounded(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds)


def _public_incident(incident: Incident) -> PublicIncident:
    seconds = None if incident.end is None else round((incident.end - incident.begin).total_seconds())
    return {
        "begin": format_timestamp(incident.begin),
        "end": _timestamp(incident.end),
        "seconds": seconds,
        "planned": incident.planned,
    }


def _timestamp(time: datetime | None) -> str | None:
    return None if time is None else format_timestamp(time)
