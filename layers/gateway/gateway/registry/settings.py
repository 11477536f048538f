"""Settings of the functions that use the provider registry."""

from dataclasses import dataclass
from typing import Annotated

from gateway.core.aws_settings import AwsSettings
from gateway.core.settings import LogLevel, Text, either, one_of


@dataclass(frozen=True, kw_only=True)
class RegistrySettings(AwsSettings):
    """Settings of the functions that use the provider registry."""

    keys_key: Text
    log_level: LogLevel
    platform: Annotated[str, one_of("aws", "local")]
    private_networks: Annotated[bool, either("allow", "refuse")]
    providers_table: Text

    @property
    def local(self) -> bool:
        return self.platform == "local"
