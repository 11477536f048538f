"""The metrics and log lines of the heartbeat function."""

from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools import Logger

from gateway.core import telemetry
from gateway.heartbeat.health import RecordedBeat
from gateway.heartbeat.side_effects import InternalFailure, count_not_published, count_not_written
from gateway.heartbeat.ticker import TickResult


class Reporter:
    """Writes metrics to a namespace and log lines to a logger."""

    def __init__(self, namespace: str, logger: Logger) -> None:
        self._namespace = namespace
        self._logger = logger

    def report_beat(self, beat: RecordedBeat) -> None:
        """Emits the metrics of a heartbeat and logs a change of status or of the model's substitution."""
        provider, outcome = beat.before.id, beat.outcome
        failures = 0 if outcome.error is None else 1
        telemetry.emit(
            {
                "HeartbeatLatency": outcome.latency_ms,
                # 0 while the provider is muted. Without a value, an alarm would keep its last state.
                "HeartbeatFailures": 0 if outcome.planned else failures,
                "HeartbeatFailuresMuted": failures if outcome.planned else None,
            },
            namespace=self._namespace,
            provider=provider,
        )
        if beat.status_changed:
            change = {"provider": provider, "old_status": beat.before.health.status}
            self._logger.info(
                "health changed", extra=change | {"new_status": beat.after.status, "error": outcome.error}
            )

        if beat.warning_changed:
            self._logger.info(
                "model warning changed", extra={"provider": provider, "warning": beat.after.last_heartbeat_warning}
            )

    def report_tick(self, slot: str, result: TickResult) -> dict[str, Any]:
        """Emits the metrics of a tick, logs it with its failures, and returns its summary."""
        telemetry.emit(
            {
                "Ticks": 1,
                "ProvidersFailed": result.failed,
                "ProvidersSubstituted": result.substituted,
                "BeatsUnfinished": result.unfinished,
                "BeatsNotWritten": result.not_written,
                "EventsNotPublished": result.events_not_published,
                "OldestBeatAge": result.oldest_beat_s,
            },
            namespace=self._namespace,
        )
        self._log(result.failures)
        summary = {"slot": slot, "beaten": result.providers - result.unfinished, "failed": result.failed}
        self._logger.info("tick", extra=summary | {"unfinished": result.unfinished, "not_written": result.not_written})
        return summary

    def report_failures(self, failures: Sequence[InternalFailure]) -> None:
        """Emits and logs failures that belong to no tick."""
        not_written, not_published = count_not_written(failures), count_not_published(failures)
        telemetry.emit(
            {"BeatsNotWritten": not_written or None, "EventsNotPublished": not_published or None},
            namespace=self._namespace,
        )
        self._log(failures)

    def _log(self, failures: Sequence[InternalFailure]) -> None:
        for failure in failures:
            self._logger.error(failure.kind, exc_info=failure.error, extra={"provider": failure.provider_id})
