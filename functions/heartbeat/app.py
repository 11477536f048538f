"""Beats: every enabled provider at a tick of the workflow, or one that was just registered or is asked for.

It lists a provider's models too, because it may decrypt keys and the provider API may not.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import boto3
from botocore.config import Config

from gateway.core import telemetry
from gateway.core.errors import HeartbeatFailed
from gateway.core.redaction import Redactor
from gateway.core.sam_local import require_local_aws
from gateway.core.settings import HeartbeatFunctionSettings
from gateway.core.telemetry import make_logger
from gateway.heartbeat.check import Beat
from gateway.heartbeat.client import answer_of, told_beat
from gateway.heartbeat.health import RecordedBeat
from gateway.heartbeat.history import past_beat
from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.model_list import list_models
from gateway.heartbeat.side_effects import InternalFailure, SideEffects, events_not_published, not_written
from gateway.heartbeat.ticker import MAX_AT_ONCE, Ticker, TickResult
from gateway.proxy.targets import TargetResolver
from gateway.proxy.upstream import Upstream
from gateway.registry.endpoint import EndpointPolicy
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.provider import format_timestamp
from gateway.registry.store import ProviderStore

settings = HeartbeatFunctionSettings.from_environ(os.environ)
require_local_aws(settings)
redactor = Redactor()
logger = make_logger("heartbeat", settings.log_level, redactor)
emit = partial(telemetry.emit, namespace=settings.metrics_namespace)

# AWS is waited for less than a tick lasts: boto3 by itself waits a minute, and tries five times. The last two spare a
# fifth of the time that a call takes of the processor: what boto3 checks is tested, and its own name is long.
quick = Config(
    connect_timeout=2,
    read_timeout=4,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=MAX_AT_ONCE,
    parameter_validation=False,
    user_agent="tokenhub-gateway",
)
dynamodb = boto3.resource("dynamodb", config=quick)
providers = ProviderStore(dynamodb.Table(settings.providers_table))
kms, events = boto3.client("kms", config=quick), boto3.client("events", config=quick)
endpoint_policy = EndpointPolicy(private_networks=settings.private_networks, loopback=settings.local)
targets = TargetResolver(providers, KeyCipher(kms, settings.keys_key), endpoint_policy.guard_endpoint, redactor)


def now() -> datetime:
    return datetime.now(UTC)


def on_beat(beat: RecordedBeat) -> None:
    """Each outcome to the metrics; each change of status to the log, too."""
    failures = 0 if beat.outcome.error is None else 1
    emit({"HeartbeatLatency": beat.outcome.latency_ms, "HeartbeatFailures": failures}, provider=beat.before.id)
    if beat.changed:
        change = {"provider": beat.before.id, "old_status": beat.before.health.status}
        logger.info("health changed", extra=change | {"new_status": beat.after.status, "error": beat.outcome.error})


def on_troubles(troubles: Sequence[InternalFailure]) -> None:
    """Those that no tick counts to the metrics, and to the log."""
    lost, unheard = not_written(troubles), events_not_published(troubles)
    emit({"BeatsNotWritten": lost or None, "EventsNotPublished": unheard or None})
    _log(troubles)


def _log(troubles: Sequence[InternalFailure]) -> None:
    for trouble in troubles:
        logger.error(trouble.what, exc_info=trouble.error, extra={"provider": trouble.provider_id})


heartbeats = HistoryStore(dynamodb.Table(settings.heartbeats_table), kept=timedelta(days=settings.history_days))
follow = SideEffects(heartbeats, events, on_beat, on_troubles)
upstream = Upstream(settings.limits, endpoint_policy.guard_address, loopback_host=settings.loopback_host)
ticker = Ticker(providers, Beat(upstream, targets.target_for, now=now, logger=logger), follow, now=now)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """`{"tick": time, "offset_seconds": 0 or 30}` from the workflow, `{"provider_id": id}` after a registration;
    with `"now": true` or `"models": true` from the provider API, which waits for the answer."""
    if event.get("now") or event.get("models"):
        return answer_of(lambda: _asked(event))
    if "provider_id" in event:
        return _beat_one(event["provider_id"])
    slot = format_timestamp(datetime.fromisoformat(event["tick"]) + timedelta(seconds=event["offset_seconds"]))
    return _report(slot, ticker.tick(slot))


def _beat_one(provider_id: str) -> dict[str, Any]:
    provider = providers.find(provider_id)
    if provider is None or not provider.heartbeat.enabled:
        return {"beaten": 0}
    beaten = ticker.beat_one(provider)
    on_troubles(beaten.troubles)
    return {"beaten": 1, "status": None if beaten.provider is None else beaten.provider.health.status}


def _asked(event: dict[str, Any]) -> dict[str, Any]:
    provider = providers.get(event["provider_id"])
    if event.get("models"):
        return {"models": list_models(upstream, targets.target_for(provider))}
    beaten = ticker.beat_one(provider)
    on_troubles(beaten.troubles)
    if beaten.lost:
        raise HeartbeatFailed("could not write down what this heartbeat met")
    return {"beat": told_beat(past_beat(beaten.outcome))}


def _report(slot: str, result: TickResult) -> dict[str, Any]:
    emit(
        {
            "Ticks": 1,
            "ProvidersFailed": result.failed,
            "BeatsUnfinished": result.unfinished,
            "BeatsNotWritten": result.not_written,
            "EventsNotPublished": result.events_not_published,
            "OldestBeatAge": result.oldest_beat_s,
        }
    )
    _log(result.troubles)
    summary = {"slot": slot, "beaten": result.providers - result.unfinished, "failed": result.failed}
    logger.info("tick", extra=summary | {"unfinished": result.unfinished, "not_written": result.not_written})
    return summary
