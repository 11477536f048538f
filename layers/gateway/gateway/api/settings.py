"""Settings of the provider API."""

from dataclasses import dataclass

from gateway.core.settings import Days, Origins, Text
from gateway.registry.settings import RegistrySettings


@dataclass(frozen=True, kw_only=True)
class ProvidersSettings(RegistrySettings):
    allowed_origins: Origins
    heartbeat_function: Text
    heartbeats_table: Text
    history_days: Days
    roll_ups_table: Text
