"""Reads what the status page shows, and keeps it in memory for 15 seconds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from gateway.core.errors import ProviderNotFound
from gateway.heartbeat.summaries import ProviderHistory
from gateway.registry.overview import ProviderOverview
from gateway.status.document import sort_providers

ReadSummaries = Callable[[Sequence[ProviderOverview], datetime], Mapping[str, ProviderHistory]]

CACHE_SECONDS = 15
CACHE_TIME = timedelta(seconds=CACHE_SECONDS)


class StatusReader:
    """Providers and their histories, at most 15 seconds old.

    A provider costs one item of the registry, and the items of its history when it is shown: only the providers of a
    page, or the one of a badge.
    """

    def __init__(self, read_providers: Callable[[], list[ProviderOverview]], read_summaries: ReadSummaries) -> None:
        self._read_providers = read_providers
        self._read_summaries = read_summaries
        self._providers: tuple[datetime, list[ProviderOverview]] | None = None
        self._histories: dict[str, tuple[datetime, ProviderHistory]] = {}

    def providers(self, now: datetime) -> list[ProviderOverview]:
        """Returns all providers in the order in which the page shows them."""
        if self._providers is None or not _is_fresh(self._providers[0], now):
            self._providers = (now, sort_providers(self._read_providers(), now))
        return self._providers[1]

    def provider(self, provider_id: str, now: datetime) -> ProviderOverview:
        """Returns the provider with this id. Raises ProviderNotFound."""
        for provider in self.providers(now):
            if provider.id == provider_id:
                return provider
        raise ProviderNotFound

    def histories(self, providers: Iterable[ProviderOverview], now: datetime) -> dict[str, ProviderHistory]:
        """Returns the histories of these providers by their ids."""
        wanted = list(providers)
        self._histories = {id_: entry for id_, entry in self._histories.items() if _is_fresh(entry[0], now)}
        missing = [provider for provider in wanted if provider.id not in self._histories]
        if missing:
            self._histories |= {id_: (now, history) for id_, history in self._read_summaries(missing, now).items()}
        return {provider.id: self._histories[provider.id][1] for provider in wanted}


def _is_fresh(read_at: datetime, now: datetime) -> bool:
    # Also false where the clock was set back.
    return timedelta(0) <= now - read_at < CACHE_TIME
