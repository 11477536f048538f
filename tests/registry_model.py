"""What a registry should hold: a model of providers and of what beats make of their health, that fits on a page."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.heartbeat.health import Outcome
from gateway.registry.key_cipher import fingerprint
from gateway.registry.provider import Health, Provider, utc_day

type Fields = dict[str, Any]

PLAIN = {"enabled": True, "max_tokens": 16}
NEVER = Health()


@dataclass
class Known:
    """What the model knows of one provider."""

    fields: Fields
    key: str | None = None
    version: int = 0
    health: Health = NEVER

    def checked(self) -> tuple[Any, ...]:
        return (self.fields["endpoint"], self.fields["model"], self.key)

    def reset(self, at: datetime) -> "Known":
        """Unknown again, but for what was spent today and for when it was last looked at."""
        since = self.health.status_changed_at if self.health.status == "pending" else at
        health = replace(
            self.health,
            status="pending",
            status_changed_at=since,
            consecutive_failures=0,
            last_heartbeat_error=None,
            last_heartbeat_model=None,
            last_heartbeat_ttft_ms=None,
        )
        return replace(self, health=health)

    def replaced(self, fields: Fields) -> Fields:
        """Its fields after a PUT of these."""
        kept = self.fields["heartbeat"]
        return fields | {"heartbeat": PLAIN | fields["heartbeat"] if "heartbeat" in fields else kept}

    def patched(self, fields: Fields) -> Fields:
        """Its fields after a PATCH of these."""
        return self.fields | fields | {"heartbeat": self.fields["heartbeat"] | fields.get("heartbeat", {})}

    def takes(self, outcome: Outcome) -> bool:
        """Whether a beat is news."""
        last_slot, last_at = self.health.last_heartbeat_slot, self.health.last_heartbeat_at
        if outcome.slot is not None and last_slot is not None and outcome.slot <= last_slot:
            return False
        return last_at is None or outcome.started_at > last_at

    def beaten(self, outcome: Outcome) -> None:
        """A beat that was news. All of them are of one day."""
        was, good = self.health, outcome.error is None
        same = was.status == ("healthy" if good else "failed")
        self.health = Health(
            status="healthy" if good else "failed",
            last_heartbeat_at=outcome.started_at,
            last_heartbeat_latency_ms=outcome.latency_ms,
            last_heartbeat_ttft_ms=outcome.ttft_ms if outcome.stream else was.last_heartbeat_ttft_ms,
            last_heartbeat_error=outcome.error,
            last_heartbeat_model=was.last_heartbeat_model if outcome.model is None else outcome.model,
            last_heartbeat_slot=was.last_heartbeat_slot if outcome.slot is None else outcome.slot,
            consecutive_failures=0 if good else was.consecutive_failures + 1,
            status_changed_at=was.status_changed_at if same else outcome.started_at,
            beats_since_stream=0 if outcome.stream else was.beats_since_stream + 1,
            heartbeat_tokens=was.heartbeat_tokens + (outcome.tokens or 0),
            heartbeat_tokens_day=utc_day(outcome.started_at),
        )

    def shown(self, id_: str) -> tuple[object, ...]:
        """What `shown` should say of the provider."""
        return self.fields, self.key and fingerprint(self.key, provider_id=id_), self.health


@dataclass
class Begun:
    """A beat on its way."""

    provider: Provider
    version: int
    outcome: Outcome

    def run_again(self) -> "Begun":
        """The same beat as an Express workflow runs it twice: what was read and the slot are the same."""
        started_at = self.outcome.started_at + timedelta(seconds=0.5)
        return replace(self, outcome=replace(self.outcome, started_at=started_at))


def shown(provider: Provider) -> tuple[object, ...]:
    """What a provider is, but for its ciphertext and its opaque marks."""
    beat = provider.heartbeat
    fields = {name: getattr(provider, name) for name in ("endpoint", "model", "name")}
    fields |= {"heartbeat": {"enabled": beat.enabled, "max_tokens": beat.max_tokens}}
    return fields, provider.key_fingerprint, provider.health
