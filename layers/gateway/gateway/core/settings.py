"""Each function's settings, read once at init. Each field has an environment variable of its name in upper case."""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Annotated, Any, Literal, Self, cast, get_type_hints
from urllib.parse import urlsplit


class InvalidSettings(Exception):
    """Names every missing or invalid environment variable and the value that it expects, never its value."""


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


@dataclass(frozen=True)
class _Format:
    """How to parse a variable. `parse` raises ValueError for a value that is not `expected`."""

    expected: str
    parse: Callable[[str], object]


def _text(value: str) -> str:
    if not value:
        raise ValueError
    return value


def _one_of(*choices: str) -> _Format:
    return _Format(" or ".join(choices), lambda value: choices[choices.index(value)])


def _either(true: str, false: str) -> _Format:
    return _Format(f"{true} or {false}", lambda value: (false, true).index(value) == 1)


def _days(value: str) -> int:
    days = int(value)
    if days < 1:
        raise ValueError
    return days


def _seconds(value: str) -> float:
    seconds = float(value)
    if not 0 <= seconds < math.inf:
        raise ValueError
    return seconds


def _origins(value: str) -> frozenset[str]:
    return frozenset(filter(None, value.split(",")))


Text = Annotated[str, _Format("text that is not empty", _text)]
Days = Annotated[int, _Format("a whole number from 1", _days)]
Seconds = Annotated[float, _Format("a number from 0", _seconds)]
Origins = Annotated[frozenset[str], _Format("a comma list of origins, which may be empty", _origins)]
LogLevel = Annotated[str, _one_of("INFO", "WARNING", "ERROR")]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of the settings of all functions. A field with a default may be absent or empty in the environment."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Raises InvalidSettings, which names every variable that is missing or invalid."""
        hints = get_type_hints(cls, include_extras=True)
        values, problems = {}, []
        for field in fields(cls):
            variable, expects = field.name.upper(), cast("_Format", hints[field.name].__metadata__[0])
            try:
                values[field.name] = _read(field, environ.get(variable), expects)
            except ValueError:
                problems.append(f"{variable} ({expects.expected})")
        if problems:
            raise InvalidSettings(
                f"Environment variables are missing or invalid: {', '.join(problems)}. "
                "Deploy template.yaml again, or start `sam local` with the env.json that `make dev` writes."
            )
        return cls(**values)


def _read(field: Field[Any], value: str | None, expects: _Format) -> object:
    if not value and field.default is not MISSING:
        return field.default
    if value is None:
        raise ValueError
    return expects.parse(value)


@dataclass(frozen=True, kw_only=True)
class AwsSettings(Settings):
    """Settings of the functions that call AWS. Without `aws_endpoint_url` boto3 calls the real AWS."""

    aws_endpoint_url: Annotated[str | None, _Format("a URL", _text)] = None
    # `sam local` sets this variable in its containers. Lambda never does.
    aws_sam_local: Annotated[str, _Format("text", _text)] = "false"

    @property
    def sam_local(self) -> bool:
        return self.aws_sam_local == "true"

    @property
    def loopback_host(self) -> str | None:
        """The host that replaces loopback in a provider's endpoint, or None to use the endpoint as it is.

        In a `sam local` container, loopback is the container itself. The local AWS runs on the machine, so its host
        is the machine's address as the container sees it.
        """
        return urlsplit(self.aws_endpoint_url).hostname if self.sam_local and self.aws_endpoint_url else None


@dataclass(frozen=True, kw_only=True)
class RegistrySettings(AwsSettings):
    """Settings of the functions that use the provider registry."""

    keys_key: Text
    log_level: LogLevel
    platform: Annotated[str, _one_of("aws", "local")]
    private_networks: Annotated[bool, _either("allow", "refuse")]
    providers_table: Text

    @property
    def local(self) -> bool:
        return self.platform == "local"


@dataclass(frozen=True, kw_only=True)
class ProvidersSettings(RegistrySettings):
    allowed_origins: Origins
    heartbeat_function: Text
    heartbeats_table: Text
    history_days: Days
    roll_ups_table: Text


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


@dataclass(frozen=True, kw_only=True)
class AuthorizerSettings(AwsSettings):
    admin_token_secret: Text
    client_token_secret: Text


@dataclass(frozen=True, kw_only=True)
class PreflightSettings(Settings):
    allowed_origins: Origins
    log_level: LogLevel


@dataclass(frozen=True, kw_only=True)
class StatusSettings(AwsSettings):
    allowed_origins: Origins
    log_level: LogLevel
    platform: Annotated[str, _one_of("aws", "local")]
    providers_table: Text
    roll_ups_table: Text
    status_page: Annotated[Literal["token", "public", "off"], _one_of("token", "public", "off")]

    @property
    def local(self) -> bool:
        return self.platform == "local"
