"""Registering a provider: what a POST keeps, what it replaces, and where its key may go."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.endpoint import Reach, normalise
from gateway.errors import ApiKeyRequired, DefaultProviderNeeded, RegistryBusy
from gateway.keys import KeyCipher, fingerprint
from gateway.models import ProviderIn
from gateway.providers import Providers
from gateway.records import HeartbeatSettings, Provider, origin_of

ATTEMPTS = 5
CHECKED = ("endpoint", "model", "key_fingerprint", "heartbeat")  # a beat of other values says nothing about these
RESETTING = ("endpoint", "model", "key_fingerprint")
REGISTERED = (*CHECKED, "name", "type", "description", "default")


@dataclass(frozen=True)
class Registered:
    """What a registration came to. `reset`: the provider's health is unknown from now on."""

    provider: Provider
    created: bool
    reset: bool


class Registry:
    """Upserts providers whose endpoints are within reach."""

    def __init__(
        self,
        providers: Providers,
        keys: KeyCipher,
        *,
        clock: Callable[[], datetime],
        reach: Reach,
    ) -> None:
        self._providers = providers
        self._keys = keys
        self._clock = clock
        self._reach = reach

    def register(self, wanted: ProviderIn) -> Registered:
        """Creates the provider or replaces it. The same registration again changes nothing.

        Raises InvalidEndpoint, ApiKeyRequired, DefaultProviderNeeded, TooManyProviders, RegistryBusy.
        """
        endpoint = normalise(wanted.endpoint)
        self._reach.guard_endpoint(endpoint)
        for _ in range(ATTEMPTS):
            try:
                existing = self._providers.find(wanted.id)
                return self._create(wanted, endpoint) if existing is None else self._replace(existing, wanted, endpoint)
            except RegistryBusy:  # another registration of this id came between: look again
                continue
        raise RegistryBusy

    def _create(self, wanted: ProviderIn, endpoint: str) -> Registered:
        now = self._clock()
        provider = Provider(
            id=wanted.id,
            name=wanted.name or wanted.id,
            type=wanted.type,
            endpoint=endpoint,
            model=wanted.model,
            description=wanted.description,
            heartbeat=_heartbeat(wanted, HeartbeatSettings()),
            version=_opaque(),
            revision=_opaque(),
            created_at=now,
            updated_at=now,
            default=bool(wanted.default),
        )
        self._providers.create(self._with_key(provider, wanted.api_key or ""))
        return Registered(self._providers.get(wanted.id), created=True, reset=True)

    def _replace(self, existing: Provider, wanted: ProviderIn, endpoint: str) -> Registered:
        if existing.default and wanted.default is False:
            raise DefaultProviderNeeded
        provider = self._replacement(existing, wanted, endpoint)
        reset = _differ(existing, provider, RESETTING)
        if _differ(existing, provider, REGISTERED):
            provider = replace(provider, revision=_opaque(), updated_at=self._clock())
        if _differ(existing, provider, CHECKED):
            provider = replace(provider, version=_opaque())
        if provider != existing:
            self._providers.update(existing, provider, reset_health=reset)
        return Registered(self._providers.get(wanted.id), created=False, reset=reset)

    def _replacement(self, existing: Provider, wanted: ProviderIn, endpoint: str) -> Provider:
        provider = replace(
            existing,
            name=wanted.name or wanted.id,
            type=wanted.type,
            endpoint=endpoint,
            model=wanted.model,
            description=wanted.description,
            heartbeat=_heartbeat(wanted, existing.heartbeat),
            default=existing.default or bool(wanted.default),
        )
        if wanted.api_key is not None:
            return self._with_key(provider, wanted.api_key)
        if existing.key_ciphertext is not None and origin_of(endpoint) != existing.origin:
            raise ApiKeyRequired
        return provider

    def _with_key(self, provider: Provider, key: str) -> Provider:
        """The provider with this key, or with none when it is empty. The same key is encrypted again too: sending it
        is the way out when the stored ciphertext cannot be decrypted any more."""
        if not key:
            return replace(provider, key_ciphertext=None, key_fingerprint=None)
        ciphertext = self._keys.encrypt(key, provider_id=provider.id, origin=provider.origin)
        return replace(provider, key_ciphertext=ciphertext, key_fingerprint=fingerprint(key, provider_id=provider.id))


def _heartbeat(wanted: ProviderIn, kept: HeartbeatSettings) -> HeartbeatSettings:
    given = wanted.heartbeat
    return kept if given is None else HeartbeatSettings(given.enabled, given.model, given.max_tokens)


def _differ(one: Provider, other: Provider, names: tuple[str, ...]) -> bool:
    return any(getattr(one, name) != getattr(other, name) for name in names)


def _opaque() -> str:
    return uuid.uuid4().hex
