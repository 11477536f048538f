"""The environments in samconfig.toml and where each is deployed. SAM reads the same sections of the file."""

import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tools.local.settings import UserError


@dataclass(frozen=True)
class Environment:
    """One environment, `ENV`, of a samconfig.toml. `settings` is empty when the file does not name it.

    `known` lists the names of all environments in the file.
    """

    name: str
    samconfig: Path
    settings: Mapping[str, Any]
    known: tuple[str, ...]

    @classmethod
    def read(cls, samconfig: Path, name: str) -> "Environment":
        """Reads the environment `name`. Raises UserError when the file is not valid TOML."""
        try:
            sections = tomllib.loads(samconfig.read_text()) if samconfig.exists() else {}
        except tomllib.TOMLDecodeError as error:
            raise UserError(f"{samconfig.name} is not valid TOML: {error}.") from None
        section = sections.get(name, {})
        settings = {
            key: value
            for command in ("global", "deploy")
            for key, value in section.get(command, {}).get("parameters", {}).items()
        }
        return cls(name, samconfig, settings, tuple(key for key in sections if isinstance(sections[key], dict)))

    @property
    def stack(self) -> str | None:
        return self.settings.get("stack_name")

    @property
    def region(self) -> str | None:
        return self.settings.get("region")

    def session(self) -> boto3.Session:
        """Returns a session with the profile in samconfig.toml, or else with the shell's credentials.

        Raises UserError when no region is set, and botocore's errors when the profile does not exist.
        """
        session = boto3.Session(
            profile_name=self.settings.get("profile"),
            # boto3 itself does not read AWS_REGION.
            region_name=self.region or os.environ.get("AWS_REGION"),
        )
        if session.region_name is None:
            raise UserError(f"No region is set. Set AWS_REGION, or `region` of {self.name} in samconfig.toml.")
        return session

    @property
    def has_bucket(self) -> bool:
        return bool(self.settings.get("s3_bucket") or self.settings.get("resolve_s3"))

    @property
    def overrides(self) -> list[str]:
        """The parameter overrides, each as `Name=value`. Raises UserError for an unclosed quote."""
        overrides = self.settings.get("parameter_overrides", "")
        try:
            return [
                str(override)
                for override in (overrides if isinstance(overrides, list) else shlex.split(str(overrides)))
            ]
        except ValueError as error:
            raise UserError(f"parameter_overrides of {self.name} is invalid: {error}.") from None

    @property
    def architecture(self) -> str:
        """The processor architecture of the functions. arm64 is the default."""
        values = [
            override.partition("=")[2].strip("\"'")
            for override in self.overrides
            if override.startswith("Architecture=")
        ]
        return values[-1] if values else "arm64"

    def require_stack(self) -> str:
        """Returns the stack's name. Raises UserError, which lists the known environments, when there is none."""
        if self.stack is None:
            known = ", ".join(sorted({"local", *self.known}))
            raise UserError(f"{self.samconfig.name} has no stack_name for ENV={self.name}. Use one of: {known}.")
        return self.stack
