"""What can be chosen about the local system, all of it by environment variables."""

import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
EMULATOR = REPOSITORY / ".local" / "emulator"
BUILDS = REPOSITORY / ".local" / "build"
REGION = "us-east-1"
ACCOUNT = "000000000000"
STACK = "local"


class LocalError(Exception):
    """Trouble that the user can do something about: the text says what."""


@dataclass(frozen=True)
class Settings:
    """One local system. Two of them run side by side when their ports and state folders differ."""

    port: int = 8080
    aws_port: int = 4566
    tokenhub_port: int = 8090
    state: Path = REPOSITORY / ".local" / "state"
    local_token: bool = True
    tokenhub: bool = True
    auth: bool = True
    stop_with: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises LocalError for a value that is not allowed. Empty means not set, as in a Makefile."""
        given = {name: value for name, value in environ.items() if value}
        return cls(
            port=_port(given, "PORT", cls.port),
            aws_port=_port(given, "AWS_PORT", cls.aws_port),
            tokenhub_port=_port(given, "TOKENHUB_PORT", cls.tokenhub_port),
            state=Path(given.get("STATE", cls.state)).absolute(),
            local_token=_choice(given, "LOCAL_TOKEN", ("on", "off")),
            tokenhub=_choice(given, "TOKENHUB", ("on", "off")),
            auth=_choice(given, "AUTH", ("true", "false")),
            stop_with=_number(given, "STOP_WITH") if "STOP_WITH" in given else None,
            parameters=_parameters(given.get("PARAMETERS", "")),
        )

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        return f"http://localhost:{self.port}"

    @property
    def aws_url(self) -> str:
        """Where the local AWS answers. An address, not a name: it listens on IPv4 only."""
        return f"http://127.0.0.1:{self.aws_port}"

    @property
    def tokenhub_url(self) -> str:
        """Where TokenHub, the real one or the rehearsal, answers."""
        return f"http://localhost:{self.tokenhub_port}"

    @property
    def env_file(self) -> Path:
        """What `sam local --env-vars` takes; samconfig.toml names the one of the system that has the usual state."""
        return (self.state.parent if self.state == Settings.state else self.state) / "env.json"

    @property
    def logs(self) -> Path:
        """The folder of the log files of the programs that are started."""
        return self.state / "logs"


def emulator_packages() -> Path:
    """The folder of the packages beside which the functions run locally."""
    return Path(sysconfig.get_path("purelib", vars={"base": str(EMULATOR)}))


def _number(given: Mapping[str, str], name: str) -> int:
    try:
        return int(given[name])
    except ValueError:
        raise LocalError(f"{name} must be a number, not {given[name]!r}.") from None


def _port(given: Mapping[str, str], name: str, default: int) -> int:
    port = _number(given, name) if name in given else default
    if not 0 < port < 65536:
        raise LocalError(f"{name} must be between 1 and 65535, not {port}.")
    return port


def _choice(given: Mapping[str, str], name: str, choices: tuple[str, str]) -> bool:
    """The first choice is true, and the default."""
    value = given.get(name, choices[0])
    if value not in choices:
        raise LocalError(f"{name} must be {choices[0]} or {choices[1]}, not {value!r}.")
    return value == choices[0]


def _parameters(text: str) -> dict[str, str]:
    """`NAME=VALUE NAME=VALUE`: parameters of the template, as `sam deploy --parameter-overrides` takes them."""
    pairs = [pair.partition("=") for pair in text.split()]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise LocalError(f"PARAMETERS must be like NAME=VALUE NAME=VALUE, not {wrong[0]!r}.")
    return {name: value for name, _, value in pairs}
