"""The Atom feed of incidents (RFC 4287). It names providers and times, never a cause."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from uuid import NAMESPACE_URL, uuid5

from gateway.heartbeat.rollups import Incident
from gateway.heartbeat.summaries import ProviderHistory
from gateway.registry.overview import ProviderOverview
from gateway.registry.provider import format_timestamp

CONTENT_TYPE = "application/atom+xml; charset=utf-8"
MAX_ENTRIES = 50


def feed(
    providers: Sequence[ProviderOverview], histories: Mapping[str, ProviderHistory], host: str, now: datetime
) -> str:
    """Returns the feed of the newest incidents. `host` is the gateway's host name, which makes the feed's id unique.

    Its links are relative, so that they are right under every stage and domain.
    """
    incidents = [(provider, incident) for provider in providers for incident in histories[provider.id].incidents]
    newest = sorted(incidents, key=lambda pair: (pair[1].begin, pair[0].id), reverse=True)[:MAX_ENTRIES]
    updated = max((_updated(incident) for _, incident in newest), default=now)
    entries = "".join(_entry(provider, incident, host) for provider, incident in newest)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">'
        f"<id>{_id(host)}</id><title>Incidents of {escape(host)}</title><updated>{format_timestamp(updated)}</updated>"
        '<author><name>tokenhub-gateway</name></author><link rel="self" href="feed.atom"/>'
        f'<link rel="alternate" type="text/html" href="../../status"/>{entries}</feed>\n'
    )


def _entry(provider: ProviderOverview, incident: Incident, host: str) -> str:
    begin, name = format_timestamp(incident.begin), escape(provider.name)
    title = f"{name} {'failed' if incident.end is None else 'recovered'}"
    text = f"{name} failed at {begin}."
    if incident.end is not None:
        text += f" It was healthy again at {format_timestamp(incident.end)}."
    return (
        f"<entry><id>{_id(host, provider.id, begin)}</id><title>{title}</title><published>{begin}</published>"
        f"<updated>{format_timestamp(_updated(incident))}</updated>"
        f'<link rel="alternate" type="text/html" href="../../status"/><summary>{text}</summary></entry>'
    )


def _updated(incident: Incident) -> datetime:
    return incident.end or incident.begin


def _id(*parts: str) -> str:
    return f"urn:uuid:{uuid5(NAMESPACE_URL, '/'.join(('tokenhub-gateway', *parts)))}"
