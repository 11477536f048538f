"""Entity tags and If-Match (RFC 9110, sections 8.8.3 and 13.1.1)."""

import re
from dataclasses import dataclass

from gateway.core.errors import InvalidRequest, PreconditionFailed
from gateway.registry.provider import Provider

TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# Recipients must accept empty list elements (RFC 9110, section 5.6.1.2).
TAG_LIST = re.compile(rf"[ \t,]*{TAG}(?:[ \t]*,[ \t,]*{TAG})*[ \t,]*")


def etag(provider: Provider) -> str:
    """Returns the quoted tag of a provider's registration. Heartbeats do not change it.

    It includes `default`, which can change without a new revision: the default is stored in the registry item.
    """
    return f'"{provider.revision}{"-default" if provider.default else ""}"'


@dataclass(frozen=True)
class IfMatch:
    """The condition of an If-Match header. `tags` None stands for `*`, which matches any existing provider."""

    tags: frozenset[str] | None = None

    def check(self, provider: Provider | None) -> None:
        """Raises PreconditionFailed when the provider does not exist or its tag does not match."""
        if provider is None or (self.tags is not None and etag(provider) not in self.tags):
            raise PreconditionFailed


def parse_if_match(header: str | None) -> IfMatch | None:
    """Parses an If-Match header. Returns None without a header; raises InvalidRequest for a malformed one.

    Weak tags are parsed but never match, because `etag` makes strong tags only.
    """
    if header is None:
        return None
    if header.strip() == "*":
        return IfMatch()
    if not TAG_LIST.fullmatch(header):
        raise InvalidRequest(
            "The If-Match header is malformed. Send the ETag of the last response with its quotes, several ETags "
            "separated by commas, or *.",
            param="If-Match",
        )
    return IfMatch(frozenset(re.findall(TAG, header)))
