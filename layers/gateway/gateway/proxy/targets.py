"""Which provider a request goes to, remembered so that a warm request makes no AWS call."""

import time
from collections.abc import Callable

from gateway.core.errors import EndpointRefused, InvalidEndpoint
from gateway.core.redaction import Redactor
from gateway.proxy.upstream import Target
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.provider import Provider
from gateway.registry.store import ProviderStore

REMEMBERED_SECONDS = 30.0


class TargetResolver:
    """Providers by id (None: the default), each with its decrypted key, of which the redactor hears. One per
    execution environment. `guard` raises InvalidEndpoint for an endpoint that must not be called."""

    def __init__(
        self,
        providers: ProviderStore,
        keys: KeyCipher,
        guard: Callable[[str], None],
        redactor: Redactor | None = None,
        *,
        clock: Callable[[], float] = time.time,  # the monotonic one stops while Lambda freezes the environment
    ) -> None:
        self._providers = providers
        self._keys = keys
        self._guard = guard
        self._redactor = redactor or Redactor()
        self._clock = clock
        self._known: dict[str | None, tuple[float, Target]] = {}
        self._decrypted: dict[str, tuple[str, bytes, str]] = {}  # by provider: beats ask from many threads at once

    def find(self, provider_id: str | None) -> Target:
        """The target of a request, up to 30 s old. Raises ProviderNotFound, NoProvider, KeyUnreadable."""
        read_at, target = self._known.get(provider_id, (float("-inf"), None))
        age = self._clock() - read_at
        if target is None or not 0 <= age <= REMEMBERED_SECONDS:  # below 0: the clock was set back
            return self.find_fresh(provider_id)
        return target

    def find_fresh(self, provider_id: str | None) -> Target:
        """The target as the registry has it now."""
        self._known.pop(provider_id, None)  # absence is never remembered
        provider = self._providers.default() if provider_id is None else self._providers.get(provider_id)
        target = self.target_for(provider)
        self._known[provider_id] = (self._clock(), target)
        return target

    def target_for(self, provider: Provider) -> Target:
        """A provider with its key decrypted. Raises KeyUnreadable, and EndpointRefused: what may be called is a
        parameter of the stack, and may have been another one when the provider was registered."""
        try:
            self._guard(provider.endpoint)
        except InvalidEndpoint as error:
            raise EndpointRefused(f"{provider.endpoint} is not allowed. {error.message}") from None
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
        origin, old_ciphertext, key = self._decrypted.get(provider.id, (None, None, ""))
        if (origin, old_ciphertext) != (provider.origin, ciphertext):
            key = self._keys.decrypt(ciphertext, provider_id=provider.id, origin=provider.origin)
            self._redactor.learn(key)
            self._decrypted[provider.id] = (provider.origin, ciphertext, key)
        return key
