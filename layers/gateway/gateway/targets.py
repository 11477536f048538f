"""Which provider a request goes to, remembered so that a warm request makes no AWS call."""

import time
from collections.abc import Callable

from gateway.keys import KeyCipher
from gateway.providers import Providers
from gateway.records import Provider
from gateway.upstream import Target

REMEMBERED_SECONDS = 30.0


class Targets:
    """Providers by id (None: the default), each with its decrypted key. One per execution environment."""

    def __init__(self, providers: Providers, keys: KeyCipher, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._providers = providers
        self._keys = keys
        self._clock = clock
        self._known: dict[str | None, tuple[float, Target]] = {}
        self._decrypted: dict[tuple[str, str, bytes], str] = {}

    def find(self, provider_id: str | None) -> Target:
        """The target of a request, up to 30 s old. Raises ProviderNotFound, NoProvider, KeyUnreadable."""
        read_at, target = self._known.get(provider_id, (float("-inf"), None))
        if target is None or self._clock() - read_at > REMEMBERED_SECONDS:
            return self.find_anew(provider_id)
        return target

    def find_anew(self, provider_id: str | None) -> Target:
        """The target as the registry has it now."""
        self._known.pop(provider_id, None)  # absence is never remembered
        provider = self._providers.default() if provider_id is None else self._providers.get(provider_id)
        target = self.target_of(provider)
        self._known[provider_id] = (self._clock(), target)
        return target

    def target_of(self, provider: Provider) -> Target:
        """A provider with its key decrypted. Raises KeyUnreadable."""
        return Target(
            provider_id=provider.id,
            endpoint=provider.endpoint,
            model=provider.model,
            status=provider.health.status,
            key=self._key(provider),
        )

    def _key(self, provider: Provider) -> str | None:
        ciphertext = provider.key_ciphertext
        if ciphertext is None:
            return None
        known = (provider.id, provider.origin, ciphertext)
        if known not in self._decrypted:
            self._decrypted = {k: v for k, v in self._decrypted.items() if k[0] != provider.id}  # the old key goes
            self._decrypted[known] = self._keys.decrypt(ciphertext, provider_id=provider.id, origin=provider.origin)
        return self._decrypted[known]
