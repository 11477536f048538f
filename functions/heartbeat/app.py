"""Beats: every enabled provider at a tick of the workflow, or one provider that was just registered."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config

from gateway import health_events
from gateway.beat import Beat
from gateway.endpoint import Reach
from gateway.health import Outcome
from gateway.heartbeats import Heartbeats
from gateway.keys import KeyCipher
from gateway.providers import Providers
from gateway.records import Health, Provider, timestamp
from gateway.settings import Settings
from gateway.targets import Targets
from gateway.telemetry import emit, make_logger
from gateway.tick import MOST_AT_ONCE, Ticker, TickResult
from gateway.upstream import Upstream

settings = Settings(os.environ)
logger = make_logger("heartbeat", settings.log_level)

many_at_once = Config(max_pool_connections=MOST_AT_ONCE)
dynamodb = boto3.resource("dynamodb", config=many_at_once)
events = boto3.client("events")
providers = Providers(dynamodb.Table(settings.providers_table))
targets = Targets(providers, KeyCipher(boto3.client("kms", config=many_at_once), settings.keys_key))


def now() -> datetime:
    return datetime.now(UTC)


def on_beat(before: Provider, outcome: Outcome, after: Health) -> None:
    """Each outcome to the metrics; each change of status to the log and to EventBridge."""
    failures = 0 if outcome.error is None else 1
    emit({"HeartbeatLatency": outcome.latency_ms, "HeartbeatFailures": failures}, provider=before.id)
    if after.status != before.health.status:
        change = {"provider": before.id, "old_status": before.health.status, "new_status": after.status}
        logger.info("health changed", extra=change | {"error": after.last_heartbeat_error})
        health_events.publish(events, before, after)


heartbeats = Heartbeats(dynamodb.Table(settings.heartbeats_table))
reach = Reach(private_networks=settings.private_networks, loopback=settings.local)
upstream = Upstream(settings.limits, reach.guard_address)
ticker = Ticker(providers, heartbeats, Beat(upstream, targets.target_of, now=now), on_beat, now=now)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """`{"tick": time, "offset_seconds": 0 or 30}` from the workflow, `{"provider_id": id}` after a registration."""
    if "provider_id" in event:
        return _beat_one(event["provider_id"])
    slot = timestamp(datetime.fromisoformat(event["tick"]) + timedelta(seconds=event["offset_seconds"]))
    return _report(slot, ticker.tick(slot))


def _beat_one(provider_id: str) -> dict[str, Any]:
    provider = providers.find(provider_id)
    if provider is None or not provider.heartbeat.enabled:
        return {"beaten": 0}
    return {"beaten": 1, "status": ticker.beat_one(provider).health.status}


def _report(slot: str, result: TickResult) -> dict[str, Any]:
    emit(
        {
            "Ticks": 1,
            "ProvidersFailed": result.failed,
            "BeatsUnfinished": result.unfinished,
            "OldestBeatAge": result.oldest_beat_s,
        }
    )
    for trouble in result.troubles:
        logger.error("beat not written", exc_info=trouble)
    summary = {"slot": slot, "beaten": result.providers - result.unfinished, "failed": result.failed}
    logger.info("tick", extra=summary | {"unfinished": result.unfinished})
    return summary
