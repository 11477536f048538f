"""Finds the provider for a request. Caches it, so that most requests make no AWS call."""

import time
from collections.abc import Callable

from gateway.core.errors import EndpointRefused, InvalidEndpoint
from gateway.core.redaction import Redactor
from gateway.proxy.upstream import Target
from gateway.registry.key_cipher import KeyDecrypter
from gateway.registry.provider import Provider
from gateway.registry.reader import ProviderReader

MAX_AGE_SECONDS = 30.0


class TargetResolver:
    """Resolves provider ids (None: the default provider) to targets with a decrypted key.

    One instance per execution environment. `guard` raises InvalidEndpoint for an endpoint that must not be called.
    `redactor` learns every decrypted key.
    """

    def __init__(
        self,
        providers: ProviderReader,
        keys: KeyDecrypter,
        guard: Callable[[str], None],
        redactor: Redactor | None = None,
        *,
        # The monotonic clock stops while Lambda freezes the environment.
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._providers = providers
        self._keys = keys
        self._guard = guard
        self._redactor = redactor or Redactor()
        self._clock = clock
        self._cache: dict[str | None, tuple[float, Target]] = {}
        # By provider id. Heartbeats use this from many threads at once.
        self._decrypted: dict[str, tuple[str, bytes, str]] = {}

    def find(self, provider_id: str | None) -> Target:
        """Returns a target that is at most 30 s old. Raises ProviderNotFound, NoProvider, KeyUnreadable."""
        read_at, target = self._cache.get(provider_id, (float("-inf"), None))
        age = self._clock() - read_at
        # The age is negative when the clock was set back.
        if target is None or not 0 <= age <= MAX_AGE_SECONDS:
            return self.find_fresh(provider_id)
        return target

    def find_fresh(self, provider_id: str | None) -> Target:
        """Reads the target from the registry. A missing provider is not cached."""
        self._cache.pop(provider_id, None)
        provider = self._providers.default() if provider_id is None else self._providers.get(provider_id)
        target = self.target_for(provider)
        self._cache[provider_id] = (self._clock(), target)
        return target

    def target_for(self, provider: Provider) -> Target:
        """Returns the target of a provider. Raises KeyUnreadable, KeyServiceFailed and EndpointRefused.

        The endpoint is checked again here: the stack's parameters may have changed since it was registered.
        """
        try:
            self._guard(provider.endpoint)
        except InvalidEndpoint as error:
            raise EndpointRefused(f"{provider.endpoint} is not allowed. {error.message}") from None
        return Target(
            provider_id=provider.id,
            endpoint=provider.endpoint,
            model=provider.model,
            version=provider.version,
            status=provider.health.status,
            key=self._key(provider),
        )

    def _key(self, provider: Provider) -> str | None:
        ciphertext = provider.key_ciphertext
        if ciphertext is None:
            return None
        origin, known_ciphertext, key = self._decrypted.get(provider.id, (None, None, ""))
        if (origin, known_ciphertext) != (provider.origin, ciphertext):
            key = self._keys.decrypt(ciphertext, provider_id=provider.id, origin=provider.origin)
            self._redactor.learn(key)
            self._decrypted[provider.id] = (provider.origin, ciphertext, key)
        return key
