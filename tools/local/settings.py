"""The settings of the local system, all read from environment variables."""

import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# The virtual environment that ministack and the functions run in.
EMULATOR = REPOSITORY / ".local" / "emulator"
BUILDS = REPOSITORY / ".local" / "build"
REGION = "us-east-1"
ACCOUNT = "000000000000"
STACK = "local"


class UserError(Exception):
    """An error that the user can fix. The message states the cause and the fix, and is shown without a traceback."""


@dataclass(frozen=True)
class Settings:
    """One local system. Two systems run side by side when their ports and state folders differ."""

    port: int = 8080
    aws_port: int = 4566
    tokenhub_port: int = 8090
    state: Path = REPOSITORY / ".local" / "state"
    local_token: bool = True
    tokenhub: bool = True
    auth: bool = True
    stop_with_pid: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    streams: int = 16

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises UserError for an invalid value. An empty value means the default, as in a Makefile."""
        variables = {name: value for name, value in environ.items() if value}
        return cls(
            port=_port(variables, "PORT", cls.port),
            aws_port=_port(variables, "AWS_PORT", cls.aws_port),
            tokenhub_port=_port(variables, "TOKENHUB_PORT", cls.tokenhub_port),
            state=Path(variables.get("STATE", cls.state)).absolute(),
            local_token=_switch(variables, "LOCAL_TOKEN", ("on", "off")),
            tokenhub=_switch(variables, "TOKENHUB", ("on", "off")),
            auth=_switch(variables, "AUTH", ("true", "false")),
            streams=_at_least_1(variables, "STREAMS", cls.streams),
            stop_with_pid=_integer(variables, "STOP_WITH") if "STOP_WITH" in variables else None,
            parameters=_parameters(variables.get("PARAMETERS", "")),
        )

    @property
    def url(self) -> str:
        """The gateway's URL."""
        return f"http://localhost:{self.port}"

    @property
    def aws_url(self) -> str:
        """The local AWS's URL. It has an address instead of a name, because the local AWS listens on IPv4 only."""
        return f"http://127.0.0.1:{self.aws_port}"

    @property
    def tokenhub_url(self) -> str:
        """The URL of TokenHub, real or rehearsal."""
        return f"http://localhost:{self.tokenhub_port}"

    @property
    def env_file(self) -> Path:
        """The file for `sam local --env-vars`. samconfig.toml names the file of the default state folder."""
        return (self.state.parent if self.state == Settings.state else self.state) / "env.json"

    @property
    def logs(self) -> Path:
        """The folder of the child processes' log files."""
        return self.state / "logs"


def emulator_packages() -> Path:
    """Returns the package folder of the virtual environment that ministack and the functions run in."""
    return Path(sysconfig.get_path("purelib", vars={"base": str(EMULATOR)}))


def _integer(variables: Mapping[str, str], name: str) -> int:
    try:
        return int(variables[name])
    except ValueError:
        raise UserError(f"{name} must be a number, not {variables[name]!r}.") from None


def _port(variables: Mapping[str, str], name: str, default: int) -> int:
    port = _integer(variables, name) if name in variables else default
    if not 0 < port < 65536:
        raise UserError(f"{name} must be between 1 and 65535, not {port}.")
    return port


def _at_least_1(variables: Mapping[str, str], name: str, default: int) -> int:
    number = _integer(variables, name) if name in variables else default
    if number < 1:
        raise UserError(f"{name} must be at least 1, not {number}.")
    return number


def _switch(variables: Mapping[str, str], name: str, values: tuple[str, str]) -> bool:
    """Returns True for the first value, which is the default, and False for the second."""
    value = variables.get(name, values[0])
    if value not in values:
        raise UserError(f"{name} must be {values[0]} or {values[1]}, not {value!r}.")
    return value == values[0]


def _parameters(text: str) -> dict[str, str]:
    """Parses template parameters `NAME=VALUE NAME=VALUE`, the format of `sam deploy --parameter-overrides`."""
    pairs = [pair.partition("=") for pair in text.split()]
    if invalid := [name for name, equals, _ in pairs if not equals]:
        raise UserError(f"PARAMETERS must have the form NAME=VALUE NAME=VALUE, not {invalid[0]!r}.")
    return {name: value for name, _, value in pairs}
