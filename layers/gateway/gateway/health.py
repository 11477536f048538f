"""What a beat means for a provider's health: a pure function of what was, what was met, and when."""

from dataclasses import dataclass, replace
from datetime import datetime

from gateway.records import Health, Status


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one beat met. `error` None: the provider answered a chat completion. `slot`: the tick that it belongs to."""

    started_at: datetime
    latency_ms: int
    error: str | None = None
    model: str | None = None
    ttft_ms: int | None = None
    tokens: int | None = None
    slot: str | None = None


def next_health(before: Health, outcome: Outcome) -> Health:
    """One failure makes a provider failed, one success healthy."""
    status: Status = "healthy" if outcome.error is None else "failed"
    after = replace(
        before,
        status=status,
        last_heartbeat_at=outcome.started_at,
        last_heartbeat_latency_ms=outcome.latency_ms,
        last_heartbeat_ttft_ms=outcome.ttft_ms if outcome.ttft_ms is not None else before.last_heartbeat_ttft_ms,
        last_heartbeat_error=outcome.error,
        last_heartbeat_model=outcome.model if outcome.error is None else before.last_heartbeat_model,
        last_heartbeat_slot=outcome.slot or before.last_heartbeat_slot,
        consecutive_failures=0 if outcome.error is None else before.consecutive_failures + 1,
    )
    return after if status == before.status else replace(after, status_changed_at=outcome.started_at)


def counts(before: Health, outcome: Outcome) -> bool:
    """Whether a beat is news: newer than the last one, and not the second of its slot or of an older one (Step
    Functions Express runs at least once; slots are timestamps)."""
    if outcome.slot is not None and before.last_heartbeat_slot is not None:
        return outcome.slot > before.last_heartbeat_slot and _newer(before, outcome)
    return _newer(before, outcome)


def _newer(before: Health, outcome: Outcome) -> bool:
    return before.last_heartbeat_at is None or outcome.started_at > before.last_heartbeat_at
