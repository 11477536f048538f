"""The heartbeat function: checks providers and lists their models. It may decrypt keys; the provider API may not."""

import gc

# Garbage collections take a tenth of the init's CPU time and free almost nothing (docs/benchmarks.md).
gc.disable()

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.core.aws_api import DYNAMODB, EVENTS, KMS, AwsApi, Timeouts
from gateway.core.errors import HeartbeatFailed
from gateway.core.redaction import Redactor
from gateway.core.sam_local import require_local_aws
from gateway.core.table_api import events_api, table_api
from gateway.core.telemetry import make_logger
from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.commands import BeatNow, FirstBeat, ListModels, Tick, parse_event
from gateway.heartbeat.history import to_past_beat
from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.model_list import list_models
from gateway.heartbeat.reporting import Reporter
from gateway.heartbeat.results import relay_errors, serialize_beat
from gateway.heartbeat.rollup_store import RollUpStore
from gateway.heartbeat.rollup_ticks import RollUps
from gateway.heartbeat.settings import HeartbeatFunctionSettings
from gateway.heartbeat.side_effects import SideEffects
from gateway.heartbeat.ticker import Ticker
from gateway.proxy.targets import TargetResolver
from gateway.proxy.upstream import Upstream
from gateway.registry.endpoint import EndpointPolicy
from gateway.registry.key_cipher import KeyDecrypter, KmsApi
from gateway.registry.store import ProviderStore

settings = HeartbeatFunctionSettings.from_environ(os.environ)
require_local_aws(settings)
redactor = Redactor()
logger = make_logger("heartbeat", settings.log_level, redactor)
reporter = Reporter(settings.metrics_namespace, logger)

# A tick ends after 23 s, so boto3's default timeouts of 60 s are too long. The pauses are those of botocore.
timeouts = Timeouts(connect=2, read=4, attempts=3, backoff=0.5)
dynamodb = AwsApi(DYNAMODB, settings, os.environ, timeouts)
events = AwsApi(EVENTS, settings, os.environ, timeouts)
kms = AwsApi(KMS, settings, os.environ, Timeouts(connect=2, read=4, attempts=3))


def now() -> datetime:
    return datetime.now(UTC)


providers = ProviderStore(table_api(dynamodb, settings.providers_table))
history = HistoryStore(table_api(dynamodb, settings.heartbeats_table), retention=timedelta(days=settings.history_days))
endpoint_policy = EndpointPolicy(private_networks=settings.private_networks, loopback=settings.local)
targets = TargetResolver(
    providers, KeyDecrypter(KmsApi(kms), settings.keys_key), endpoint_policy.guard_endpoint, redactor
)
upstream = Upstream(settings.limits, endpoint_policy.guard_address, loopback_host=settings.loopback_host)
check = HeartbeatCheck(upstream, targets.target_for, now=now, logger=logger)
side_effects = SideEffects(history, events_api(events), reporter.report_beat, reporter.report_failures)
roll_ups = RollUps(history, RollUpStore(table_api(dynamodb, settings.roll_ups_table)), now=now)
ticker = Ticker(providers, check, side_effects, now=now, roll_ups=roll_ups)

# The objects of the init live as long as the function, so later collections skip them.
gc.freeze()
gc.enable()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Runs the command of an event and returns its result as plain data. Raises UnknownCommand."""
    match parse_event(event):
        case Tick() as tick:
            return reporter.report_tick(tick.slot, ticker.tick(tick.slot))
        case FirstBeat(provider_id):
            return _first_beat(provider_id)
        case BeatNow(provider_id):
            return relay_errors(lambda: _beat_now(provider_id))
        case ListModels(provider_id):
            return relay_errors(lambda: _list_models(provider_id))


def _first_beat(provider_id: str) -> dict[str, Any]:
    provider = providers.find(provider_id)
    if provider is None or not provider.heartbeat.enabled:
        return {"beaten": 0}
    beat = ticker.beat_one(provider)
    reporter.report_failures(beat.failures)
    return {"beaten": 1, "status": None if beat.provider is None else beat.provider.health.status}


def _beat_now(provider_id: str) -> dict[str, Any]:
    beat = ticker.beat_one(providers.get(provider_id))
    reporter.report_failures(beat.failures)
    if beat.not_recorded:
        raise HeartbeatFailed("could not store the result of this heartbeat")
    return {"beat": serialize_beat(to_past_beat(beat.outcome))}


def _list_models(provider_id: str) -> dict[str, Any]:
    return {"models": list_models(upstream, targets.target_for(providers.get(provider_id)))}
