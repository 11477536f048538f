"""Settings of the status function."""

from dataclasses import dataclass
from typing import Annotated, Literal

from gateway.core.aws_settings import AwsSettings
from gateway.core.settings import LogLevel, Origins, Text, one_of


@dataclass(frozen=True, kw_only=True)
class StatusSettings(AwsSettings):
    allowed_origins: Origins
    log_level: LogLevel
    platform: Annotated[str, one_of("aws", "local")]
    providers_table: Text
    roll_ups_table: Text
    status_page: Annotated[Literal["token", "public", "off"], one_of("token", "public", "off")]

    @property
    def local(self) -> bool:
        return self.platform == "local"
