"""A model of the registry: the providers and the effect of heartbeats on their health."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.heartbeat.health import Outcome
from gateway.registry.key_cipher import fingerprint
from gateway.registry.provider import Health, Provider, utc_day

type Fields = dict[str, Any]

DEFAULT_SETTINGS = {"enabled": True, "max_tokens": 16}
PENDING = Health()


@dataclass
class ProviderModel:
    """The expected state of one provider."""

    fields: Fields
    key: str | None = None
    version: int = 0
    health: Health = PENDING

    def reset_fields(self) -> tuple[Any, ...]:
        """The values whose change resets the health."""
        return (self.fields["endpoint"], self.fields["model"], self.key)

    def reset(self, at: datetime) -> "ProviderModel":
        """Returns the provider as pending; keeps the tokens of the day and the time of the last heartbeat."""
        since = self.health.status_changed_at if self.health.status == "pending" else at
        health = replace(
            self.health,
            status="pending",
            status_changed_at=since,
            consecutive_failures=0,
            last_heartbeat_error=None,
            last_heartbeat_model=None,
            last_heartbeat_ttft_ms=None,
            failure_cause=None,
            failure_cause_since=None,
        )
        return replace(self, health=health)

    def replaced(self, fields: Fields) -> Fields:
        """Returns the fields after a PUT."""
        current = self.fields["heartbeat"]
        return fields | {"heartbeat": DEFAULT_SETTINGS | fields["heartbeat"] if "heartbeat" in fields else current}

    def patched(self, fields: Fields) -> Fields:
        """Returns the fields after a PATCH."""
        return self.fields | fields | {"heartbeat": self.fields["heartbeat"] | fields.get("heartbeat", {})}

    def accepts(self, outcome: Outcome) -> bool:
        """Whether a heartbeat is newer than the last one and of a newer slot."""
        last_slot, last_at = self.health.last_heartbeat_slot, self.health.last_heartbeat_at
        if outcome.slot is not None and last_slot is not None and outcome.slot <= last_slot:
            return False
        return last_at is None or outcome.started_at > last_at

    def record(self, outcome: Outcome) -> None:
        """Applies a heartbeat to the health. All heartbeats of the machine are on one day."""
        before, good = self.health, outcome.error is None
        same = before.status == ("healthy" if good else "failed")
        self.health = Health(
            status="healthy" if good else "failed",
            last_heartbeat_at=outcome.started_at,
            last_heartbeat_latency_ms=outcome.latency_ms,
            last_heartbeat_ttft_ms=outcome.ttft_ms if outcome.stream else before.last_heartbeat_ttft_ms,
            last_heartbeat_error=outcome.error,
            last_heartbeat_model=before.last_heartbeat_model if outcome.model is None else outcome.model,
            last_heartbeat_slot=before.last_heartbeat_slot if outcome.slot is None else outcome.slot,
            consecutive_failures=0 if good else before.consecutive_failures + 1,
            status_changed_at=before.status_changed_at if same else outcome.started_at,
            beats_since_stream=0 if outcome.stream else before.beats_since_stream + 1,
            heartbeat_tokens=before.heartbeat_tokens + (outcome.tokens or 0),
            heartbeat_tokens_day=utc_day(outcome.started_at),
            failure_cause_since=self._cause_since(outcome),
        )

    def _cause_since(self, outcome: Outcome) -> datetime | None:
        """The start of the first heartbeat with this error. No heartbeat of the machine hides its cause."""
        before = self.health
        if outcome.error is None:
            return None
        is_same = before.status == "failed" and before.last_heartbeat_error == outcome.error
        return before.failure_cause_since if is_same else outcome.started_at

    def expected_state(self, id_: str) -> tuple[object, ...]:
        """What `observed_state` should return for the provider."""
        return self.fields, self.key and fingerprint(self.key, provider_id=id_), self.health


@dataclass
class StartedBeat:
    """A heartbeat that has started and not finished."""

    provider: Provider
    version: int
    outcome: Outcome

    def run_again(self) -> "StartedBeat":
        """Returns the heartbeat as an Express workflow runs it a second time, with the same provider and slot."""
        started_at = self.outcome.started_at + timedelta(seconds=0.5)
        return replace(self, outcome=replace(self.outcome, started_at=started_at))


def observed_state(provider: Provider) -> tuple[object, ...]:
    """The provider's state without ciphertext, version and revision, which are random."""
    settings = provider.heartbeat
    fields = {name: getattr(provider, name) for name in ("endpoint", "model", "name")}
    fields |= {"heartbeat": {"enabled": settings.enabled, "max_tokens": settings.max_tokens}}
    return fields, provider.key_fingerprint, provider.health
