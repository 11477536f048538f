"""Reads a function's settings once at init. Each field has an environment variable of its name in upper case.

The settings of each function are in the package of their subject: creating the classes of all functions would take a
sixth of the preflight function's init.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Annotated, Any, Self, cast, get_type_hints


class InvalidSettings(Exception):
    """Names every missing or invalid environment variable and the value that it expects, never its value."""


@dataclass(frozen=True)
class Format:
    """How to parse a variable. `parse` raises ValueError for a value that is not `expected`."""

    expected: str
    parse: Callable[[str], object]


def text(value: str) -> str:
    """Parses text that is not empty."""
    if not value:
        raise ValueError
    return value


def one_of(*choices: str) -> Format:
    """Returns the format of a variable that has one of these values."""
    return Format(" or ".join(choices), lambda value: choices[choices.index(value)])


def either(true: str, false: str) -> Format:
    """Returns the format of a variable that is read as a bool."""
    return Format(f"{true} or {false}", lambda value: (false, true).index(value) == 1)


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


Text = Annotated[str, Format("text that is not empty", text)]
Days = Annotated[int, Format("a whole number from 1", _days)]
Seconds = Annotated[float, Format("a number from 0", _seconds)]
Origins = Annotated[frozenset[str], Format("a comma list of origins, which may be empty", _origins)]
LogLevel = Annotated[str, one_of("INFO", "WARNING", "ERROR")]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of the settings of all functions. A field with a default may be absent or empty in the environment."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Raises InvalidSettings, which names every variable that is missing or invalid."""
        hints = get_type_hints(cls, include_extras=True)
        values, problems = {}, []
        for field in fields(cls):
            variable, expects = field.name.upper(), cast("Format", hints[field.name].__metadata__[0])
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


def _read(field: Field[Any], value: str | None, expects: Format) -> object:
    if not value and field.default is not MISSING:
        return field.default
    if value is None:
        raise ValueError
    return expects.parse(value)


@dataclass(frozen=True, kw_only=True)
class PreflightSettings(Settings):
    allowed_origins: Origins
    log_level: LogLevel
