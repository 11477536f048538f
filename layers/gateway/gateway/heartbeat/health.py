"""What a beat means for a provider's health: a pure function of what was, what was met, and when."""

from dataclasses import dataclass, replace
from datetime import datetime

from gateway.registry.provider import Health, Provider, Status, utc_day

STREAM_EVERY = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one beat met. `error` None: the provider answered a chat completion. `slot`: the tick that it belongs to.

    `stream`: it was asked for as a stream. `model` None: it failed, or nobody named one. `tokens` None: nobody told
    what it cost.
    """

    started_at: datetime
    latency_ms: int
    error: str | None = None
    model: str | None = None
    ttft_ms: int | None = None
    tokens: int | None = None
    slot: str | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class RecordedBeat:
    """A beat that was written down: the provider as the beat found it, what it met, and the health that came of it."""

    before: Provider
    outcome: Outcome
    after: Health

    @property
    def changed(self) -> bool:
        """Whether the status is another one now."""
        return self.after.status != self.before.health.status


def next_health(before: Health, outcome: Outcome) -> Health:
    """One failure makes a provider failed, one success healthy."""
    status: Status = "healthy" if outcome.error is None else "failed"
    day = utc_day(outcome.started_at)
    spent_before = before.heartbeat_tokens if before.heartbeat_tokens_day == day else 0
    after = replace(
        before,
        status=status,
        last_heartbeat_at=outcome.started_at,
        last_heartbeat_latency_ms=outcome.latency_ms,
        last_heartbeat_ttft_ms=outcome.ttft_ms if outcome.stream else before.last_heartbeat_ttft_ms,
        last_heartbeat_error=outcome.error,
        last_heartbeat_model=outcome.model or before.last_heartbeat_model,
        last_heartbeat_slot=outcome.slot or before.last_heartbeat_slot,
        consecutive_failures=0 if outcome.error is None else before.consecutive_failures + 1,
        beats_since_stream=0 if outcome.stream else before.beats_since_stream + 1,
        heartbeat_tokens=spent_before + (outcome.tokens or 0),
        heartbeat_tokens_day=day,
    )
    return after if status == before.status else replace(after, status_changed_at=outcome.started_at)


def stream_is_due(health: Health) -> bool:
    """Whether the next beat is a stream: the first of a registration, and every 20th while all is well. TokenHub books
    each that begins at 512 tokens, so not all are. After a failure the next beat is of the kind that failed: what only
    one kind meets the other one cannot call mended."""
    if health.status == "failed":
        return health.beats_since_stream == 0
    return health.status == "pending" or health.beats_since_stream >= STREAM_EVERY - 1


def counts(before: Health, outcome: Outcome) -> bool:
    """Whether a beat is news: newer than the last one, and not the second of its slot or of an older one (Step
    Functions Express runs at least once; slots are timestamps)."""
    if outcome.slot is not None and before.last_heartbeat_slot is not None:
        return outcome.slot > before.last_heartbeat_slot and _newer(before, outcome)
    return _newer(before, outcome)


def _newer(before: Health, outcome: Outcome) -> bool:
    return before.last_heartbeat_at is None or outcome.started_at > before.last_heartbeat_at
