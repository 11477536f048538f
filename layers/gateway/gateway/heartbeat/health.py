"""How a heartbeat changes a provider's health. Pure functions of the previous health and the outcome."""

from dataclasses import dataclass, replace
from datetime import datetime

from gateway.registry.provider import Health, Provider, Status, utc_day

# Every 20th heartbeat is a stream. TokenHub books 512 tokens for each stream, so most heartbeats are not streams.
STREAM_INTERVAL = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one heartbeat.

    `error` is None when the provider answered a chat completion. `model` is None when the heartbeat failed or the
    answer named no model. `tokens` is None when the cost is unknown. `slot` is the tick that the heartbeat belongs to,
    None outside the ticks. `stream` says whether the heartbeat requested a stream.
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
    """A heartbeat that was written to the registry: the provider before it, the outcome, and the health after it."""

    before: Provider
    outcome: Outcome
    after: Health

    @property
    def status_changed(self) -> bool:
        """Whether the heartbeat changed the provider's status."""
        return self.after.status != self.before.health.status


def next_health(before: Health, outcome: Outcome) -> Health:
    """Returns the health after a heartbeat. One failure makes a provider failed, one success makes it healthy."""
    status: Status = "healthy" if outcome.error is None else "failed"
    day = utc_day(outcome.started_at)
    tokens_before = before.heartbeat_tokens if before.heartbeat_tokens_day == day else 0
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
        heartbeat_tokens=tokens_before + (outcome.tokens or 0),
        heartbeat_tokens_day=day,
    )
    return after if status == before.status else replace(after, status_changed_at=outcome.started_at)


def is_stream_due(health: Health) -> bool:
    """Whether the next heartbeat requests a stream.

    The first heartbeat of a registration does, and every 20th of a healthy provider. After a failure the next heartbeat
    is of the kind that failed, because streams can fail while other requests succeed, and the other way round.
    """
    if health.status == "failed":
        return health.beats_since_stream == 0
    return health.status == "pending" or health.beats_since_stream >= STREAM_INTERVAL - 1


def is_newer_beat(before: Health, outcome: Outcome) -> bool:
    """Whether a heartbeat started after the last one and, if it belongs to a tick, whether that tick is a later one.

    Step Functions Express runs a tick at least once, so a tick may run twice. Slots are timestamps and compare as text.
    """
    if (
        outcome.slot is not None
        and before.last_heartbeat_slot is not None
        and outcome.slot <= before.last_heartbeat_slot
    ):
        return False
    return before.last_heartbeat_at is None or outcome.started_at > before.last_heartbeat_at
