"""How a heartbeat changes a provider's health. Pure functions of the previous health and the outcome."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.heartbeat.cause import is_same_cause
from gateway.registry.provider import Health, Provider, Status, format_timestamp, utc_day

# Every 20th heartbeat is a stream. TokenHub books 512 tokens for each stream, so most heartbeats are not streams.
STREAM_INTERVAL = 20
# The clocks of two execution environments, and of Step Functions, differ by less.
MAX_CLOCK_SKEW = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one heartbeat.

    `error` is None when the provider answered a chat completion. `model` is None when the heartbeat failed or the
    answer named no model. `tokens` is None when the cost is unknown. `slot` is the tick that the heartbeat belongs to,
    None outside the ticks. `stream` says whether the heartbeat requested a stream. `hiding_message` is TokenHub's
    message in `error` if it hides the cause of the failure, else None. `max_tokens_refused_version` is the provider's
    version if its model has just refused `max_tokens` and accepted `max_completion_tokens`. `warning` says that
    TokenHub answered with another model than the requested one. `planned` says whether the provider was muted.
    """

    started_at: datetime
    latency_ms: int
    error: str | None = None
    model: str | None = None
    ttft_ms: int | None = None
    tokens: int | None = None
    slot: str | None = None
    stream: bool = False
    hiding_message: str | None = None
    max_tokens_refused_version: str | None = None
    warning: str | None = None
    planned: bool = False


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

    @property
    def warning_changed(self) -> bool:
        """Whether a substitution of the model began or ended with the heartbeat."""
        return (self.after.last_heartbeat_warning is None) != (self.before.health.last_heartbeat_warning is None)

    @property
    def mute_ended(self) -> bool:
        """Whether the provider was failed and muted at the last heartbeat, and is failed and no longer muted."""
        before, after = self.before.health, self.after
        still_failed = before.status == after.status == "failed"
        return still_failed and before.last_heartbeat_muted and not after.last_heartbeat_muted

    @property
    def has_events(self) -> bool:
        """Whether the heartbeat changed anything that EventBridge reports."""
        return self.status_changed or self.warning_changed or self.mute_ended


def next_health(before: Health, outcome: Outcome) -> Health:
    """Returns the health after a heartbeat. One failure makes a provider failed, one success makes it healthy.

    While a provider stays failed, an error that hides the cause never replaces a cause that is known. A failed
    heartbeat keeps the warning, because it does not show which model answers.
    """
    status: Status = "healthy" if outcome.error is None else "failed"
    day = utc_day(outcome.started_at)
    tokens_before = before.heartbeat_tokens if before.heartbeat_tokens_day == day else 0
    after = replace(
        before,
        status=status,
        last_heartbeat_at=outcome.started_at,
        last_heartbeat_latency_ms=outcome.latency_ms,
        last_heartbeat_ttft_ms=outcome.ttft_ms if outcome.stream else before.last_heartbeat_ttft_ms,
        last_heartbeat_model=outcome.model or before.last_heartbeat_model,
        last_heartbeat_slot=outcome.slot or before.last_heartbeat_slot,
        consecutive_failures=0 if outcome.error is None else before.consecutive_failures + 1,
        beats_since_stream=0 if outcome.stream else before.beats_since_stream + 1,
        heartbeat_tokens=tokens_before + (outcome.tokens or 0),
        heartbeat_tokens_day=day,
        max_tokens_refused_version=outcome.max_tokens_refused_version or before.max_tokens_refused_version,
        last_heartbeat_warning=outcome.warning if outcome.error is None else before.last_heartbeat_warning,
        last_heartbeat_muted=outcome.planned,
        **_error_fields(before, outcome),
    )
    if status == before.status:
        return after
    planned = status == "failed" and outcome.planned
    return replace(after, status_changed_at=outcome.started_at, failure_planned=planned)


def _error_fields(before: Health, outcome: Outcome) -> dict[str, Any]:
    """Returns the error to show, the cause that it repeats, and the start of the first heartbeat with that cause."""
    known = _known_cause(before)
    error, cause, since = outcome.error, None, None
    if outcome.hiding_message is not None and known is not None:
        cause, since = known
        at = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        error = f"{cause} (since {at}; TokenHub now reports: {outcome.hiding_message})"
    elif error is not None and outcome.hiding_message is None:
        since = known[1] if known is not None and is_same_cause(known[0], error) else outcome.started_at
    return {"last_heartbeat_error": error, "failure_cause": cause, "failure_cause_since": since}


def _known_cause(before: Health) -> tuple[str, datetime] | None:
    """Returns the cause of the current failure and the start of the first heartbeat that reported it."""
    cause = before.failure_cause or before.last_heartbeat_error
    if before.status != "failed" or cause is None or before.failure_cause_since is None:
        return None
    return cause, before.failure_cause_since


def is_stream_due(health: Health) -> bool:
    """Whether the next heartbeat requests a stream.

    The first heartbeat of a registration does, and every 20th of a healthy provider. After a failure the next heartbeat
    is of the kind that failed, because streams can fail while other requests succeed, and the other way round.
    """
    if health.status == "failed":
        return health.beats_since_stream == 0
    return health.status == "pending" or health.beats_since_stream >= STREAM_INTERVAL - 1


def is_newer_beat(before: Health, outcome: Outcome, *, now: datetime) -> bool:
    """Whether a heartbeat started after the last one and, if it belongs to a tick, whether that tick is a later one.

    Step Functions Express runs a tick at least once, so a tick may run twice. A last heartbeat or tick in the future
    does not count: the clock was set back, or the table was restored from another system.
    """
    # Slots are timestamps and compare as text.
    latest = now + MAX_CLOCK_SKEW
    last_slot, last_at = before.last_heartbeat_slot, before.last_heartbeat_at
    if outcome.slot is not None and last_slot is not None and outcome.slot <= last_slot <= format_timestamp(latest):
        return False
    return last_at is None or last_at > latest or outcome.started_at > last_at
