"""Settings of the functions that call AWS."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from gateway.core.settings import Format, Settings, Text, text


@dataclass(frozen=True, kw_only=True)
class AwsSettings(Settings):
    """Settings of the functions that call AWS. Without `aws_endpoint_url` boto3 calls the real AWS."""

    aws_endpoint_url: Annotated[str | None, Format("a URL", text)] = None
    # `sam local` sets this variable in its containers. Lambda never does.
    aws_sam_local: Annotated[str, Format("text", text)] = "false"

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
class AuthorizerSettings(AwsSettings):
    admin_token_secret: Text
    client_token_secret: Text
