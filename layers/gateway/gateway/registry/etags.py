"""Entity tags and If-Match (RFC 9110, 8.8.3 and 13.1.1): what is changed is what its sender has seen, or nothing."""

import re
from dataclasses import dataclass

from gateway.core.errors import InvalidRequest, PreconditionFailed
from gateway.registry.provider import Provider

TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
LIST = re.compile(rf"[ \t,]*{TAG}(?:[ \t]*,[ \t,]*{TAG})*[ \t,]*")  # a recipient takes empty elements of a list too


def etag(provider: Provider) -> str:
    """The tag of all that is registered of a provider, quotes included. Beats do not change it; that another provider
    takes over as the default does, without a new revision: one item names the default, and it is not the provider's."""
    return f'"{provider.revision}{"-default" if provider.default else ""}"'


@dataclass(frozen=True)
class IfMatch:
    """The tags that a sender has seen. `tags` None is `*`: any provider, as long as there is one."""

    tags: frozenset[str] | None = None

    def check(self, provider: Provider | None) -> None:
        """Raises PreconditionFailed when the provider is another than the one that was seen, or gone."""
        if provider is None or (self.tags is not None and etag(provider) not in self.tags):
            raise PreconditionFailed


def parse_if_match(header: str | None) -> IfMatch | None:
    """What an If-Match header asks for; None without one. Raises InvalidRequest for one that is malformed.

    Weak tags are read and never match: no tag of ours begins with W/.
    """
    if header is None:
        return None
    if header.strip() == "*":
        return IfMatch()
    if not LIST.fullmatch(header):
        raise InvalidRequest(
            "If-Match is malformed: send the ETag of the last answer with its quotes, several of them with commas "
            "between, or * for any.",
            param="If-Match",
        )
    return IfMatch(frozenset(re.findall(TAG, header)))
