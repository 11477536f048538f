"""The environments of samconfig.toml: where each is deployed. SAM reads the same file by the same names."""

import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tools.local.settings import LocalError


@dataclass(frozen=True)
class Environment:
    """One environment, `ENV`, of a samconfig.toml; with nothing in it when the file does not name it."""

    name: str
    samconfig: Path
    given: Mapping[str, Any]
    known: tuple[str, ...]

    @classmethod
    def read(cls, samconfig: Path, name: str) -> "Environment":
        """Raises LocalError for a file that is no TOML."""
        try:
            sections = tomllib.loads(samconfig.read_text()) if samconfig.exists() else {}
        except tomllib.TOMLDecodeError as error:
            raise LocalError(f"{samconfig.name} cannot be read: {error}.") from None
        section = sections.get(name, {})
        given = {
            key: value
            for command in ("global", "deploy")
            for key, value in section.get(command, {}).get("parameters", {}).items()
        }
        return cls(name, samconfig, given, tuple(key for key in sections if isinstance(sections[key], dict)))

    @property
    def stack(self) -> str | None:
        return self.given.get("stack_name")

    @property
    def region(self) -> str | None:
        return self.given.get("region")

    def session(self) -> boto3.Session:
        """With the profile that samconfig.toml names, or else the shell's own credentials.

        Raises LocalError where nothing names a region, botocore's errors where the profile is not there.
        """
        session = boto3.Session(
            profile_name=self.given.get("profile"),
            region_name=self.region or os.environ.get("AWS_REGION"),  # which boto3 does not read
        )
        if session.region_name is None:
            raise LocalError(f"Which region? Set AWS_REGION, or `region` of {self.name} in samconfig.toml.")
        return session

    @property
    def has_bucket(self) -> bool:
        return bool(self.given.get("s3_bucket") or self.given.get("resolve_s3"))

    @property
    def overrides(self) -> list[str]:
        """The parameters that are chosen, `Name=value` each. Raises LocalError."""
        overrides = self.given.get("parameter_overrides", "")
        try:
            return [str(word) for word in (overrides if isinstance(overrides, list) else shlex.split(str(overrides)))]
        except ValueError as error:
            raise LocalError(f"parameter_overrides of {self.name} cannot be read: {error}.") from None

    @property
    def architecture(self) -> str:
        """What the functions are built for: arm64, unless the parameters say otherwise."""
        chosen = [word.partition("=")[2].strip("\"'") for word in self.overrides if word.startswith("Architecture=")]
        return chosen[-1] if chosen else "arm64"

    def named_stack(self) -> str:
        """Raises LocalError, naming the environments that there are."""
        if self.stack is None:
            known = ", ".join(sorted({"local", *self.known}))
            raise LocalError(f"{self.samconfig.name} names no stack for ENV={self.name}. It knows: {known}.")
        return self.stack
