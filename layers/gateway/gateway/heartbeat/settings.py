"""Settings of the heartbeat function."""

from dataclasses import dataclass

from gateway.core.settings import Days, Seconds, Text
from gateway.proxy.settings import Limits
from gateway.registry.settings import RegistrySettings


@dataclass(frozen=True, kw_only=True)
class HeartbeatFunctionSettings(RegistrySettings):
    connect_seconds: Seconds = Limits.connect
    heartbeats_table: Text
    history_days: Days
    metrics_namespace: Text
    roll_ups_table: Text

    @property
    def limits(self) -> Limits:
        return Limits(connect=self.connect_seconds)
