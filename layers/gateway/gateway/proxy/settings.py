"""Settings of the completions function and the time limits of a forwarded request."""

from dataclasses import dataclass

from gateway.core.settings import Origins, Seconds, Text
from gateway.registry.settings import RegistrySettings


@dataclass(frozen=True)
class Limits:
    """Time limits of a forwarded request, in seconds.

    `first_byte` is above TokenHub's own 120 s, so that the user sees TokenHub's error. `whole` is below the 300 s at
    which TokenHub cuts every stream without an error, so that the user sees ours.
    """

    connect: float = 5.0
    first_byte: float = 130.0
    stream_idle: float = 60.0
    whole: float = 295.0
    keep_alive: float = 15.0


@dataclass(frozen=True, kw_only=True)
class CompletionsSettings(RegistrySettings):
    allowed_origins: Origins
    metrics_namespace: Text
    connect_seconds: Seconds = Limits.connect
    first_byte_seconds: Seconds = Limits.first_byte
    stream_idle_seconds: Seconds = Limits.stream_idle
    whole_seconds: Seconds = Limits.whole
    keep_alive_seconds: Seconds = Limits.keep_alive

    @property
    def limits(self) -> Limits:
        return Limits(
            connect=self.connect_seconds,
            first_byte=self.first_byte_seconds,
            stream_idle=self.stream_idle_seconds,
            whole=self.whole_seconds,
            keep_alive=self.keep_alive_seconds,
        )
