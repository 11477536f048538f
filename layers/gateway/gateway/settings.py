"""The only reader of the environment. Each property is one variable of template.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a forwarded request may take, in seconds.

    The first byte's lies above TokenHub's own 120 s, so that its error is what a user sees; the whole lies
    below the 300 s at which TokenHub cuts every stream without a word, so that a user sees ours.
    """

    connect: float = 5.0
    first_byte: float = 130.0
    stream_idle: float = 60.0
    whole: float = 295.0
    keep_alive: float = 15.0


class Settings:
    """What a function was deployed with. A variable that is missing is named when it is asked for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @property
    def admin_token_secret(self) -> str:
        return self._environ["ADMIN_TOKEN_SECRET"]

    @property
    def client_token_secret(self) -> str:
        return self._environ["CLIENT_TOKEN_SECRET"]

    @property
    def heartbeat_function(self) -> str:
        return self._environ["HEARTBEAT_FUNCTION"]

    @property
    def heartbeats_table(self) -> str:
        return self._environ["HEARTBEATS_TABLE"]

    @property
    def keys_key(self) -> str:
        return self._environ["KEYS_KEY"]

    @property
    def private_networks(self) -> bool:
        return self._environ["PRIVATE_NETWORKS"] == "allow"

    @property
    def providers_table(self) -> str:
        return self._environ["PROVIDERS_TABLE"]

    @property
    def local(self) -> bool:
        return self._environ["PLATFORM"] == "local"

    @property
    def log_level(self) -> str:
        return self._environ["LOG_LEVEL"]

    @property
    def limits(self) -> Limits:
        given = {
            "connect": self._environ.get("CONNECT_SECONDS"),
            "first_byte": self._environ.get("FIRST_BYTE_SECONDS"),
            "stream_idle": self._environ.get("STREAM_IDLE_SECONDS"),
            "whole": self._environ.get("WHOLE_SECONDS"),
            "keep_alive": self._environ.get("KEEP_ALIVE_SECONDS"),
        }
        return Limits(**{name: float(seconds) for name, seconds in given.items() if seconds})
