"""The only reader of the environment. Each property is one variable of template.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


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
    def allowed_origins(self) -> frozenset[str]:
        return frozenset(filter(None, self._environ["ALLOWED_ORIGINS"].split(",")))

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
    def history_days(self) -> int:
        return int(self._environ["HISTORY_DAYS"])

    @property
    def keys_key(self) -> str:
        return self._environ["KEYS_KEY"]

    @property
    def metrics_namespace(self) -> str:
        return self._environ["METRICS_NAMESPACE"]

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
    def sam_local(self) -> bool:
        """Whether `sam local` runs the function, in a container on somebody's machine. Lambda never sets this."""
        return self._environ.get("AWS_SAM_LOCAL") == "true"

    @property
    def aws_endpoint_url(self) -> str | None:
        """The AWS that boto3 calls. None for the real one."""
        return self._environ.get("AWS_ENDPOINT_URL") or None

    @property
    def loopback_host(self) -> str | None:
        """Where a loopback endpoint leads. A container of `sam local` has a loopback of its own, so there it is the
        host, which the local AWS runs on, too. None everywhere else: it is what it says."""
        return urlsplit(self.aws_endpoint_url).hostname if self.sam_local and self.aws_endpoint_url else None

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
