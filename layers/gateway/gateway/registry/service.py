"""Changing what is registered: what each call keeps, what it replaces, and where a key may go."""

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gateway.core.errors import (
    ApiKeyRequired,
    DefaultProviderNeeded,
    InvalidRequest,
    RegistryBusy,
)
from gateway.registry.endpoint import EndpointPolicy, normalise
from gateway.registry.etags import IfMatch
from gateway.registry.key_cipher import KeyCipher, fingerprint
from gateway.registry.provider import HeartbeatSettings, Provider, origin_of
from gateway.registry.schemas import PatchIn, ProviderIn, ReplacementIn
from gateway.registry.store import ProviderStore

ATTEMPTS = 15  # about 2 s of pauses: twenty writers of one provider come to an end in that time
MAX_PAUSE_SECONDS = 0.4
CHECKED = ("endpoint", "model", "key_fingerprint", "heartbeat")  # a beat of other values says nothing about these
RESETTING = ("endpoint", "model", "key_fingerprint")
REGISTERED = (*CHECKED, "name", "type", "description", "default")


@dataclass(frozen=True)
class RegistrationResult:
    """What a change came to. `reset`: the provider's health is unknown from now on."""

    provider: Provider
    created: bool
    reset: bool


class Registry:
    """Registers, changes and removes providers whose endpoints are within reach.

    Everyone may change a provider at any time: what another one overtook is begun anew with what is there then, and
    is RegistryBusy only when that happens again and again. With `expected`, the check is made each time, and what is
    written is written only to the provider that was checked: of two that expect the same, one is refused.
    """

    def __init__(
        self,
        providers: ProviderStore,
        keys: KeyCipher,
        *,
        clock: Callable[[], datetime],
        endpoint_policy: EndpointPolicy,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._providers = providers
        self._keys = keys
        self._clock = clock
        self._endpoint_policy = endpoint_policy
        self._pause = pause

    def register(self, wanted: ProviderIn, expected: IfMatch | None = None) -> RegistrationResult:
        """Creates the provider or replaces it (POST). The same registration again changes nothing.

        Raises InvalidEndpoint, ApiKeyRequired, DefaultProviderNeeded, TooManyProviders, PreconditionFailed,
        RegistryBusy.
        """
        endpoint = self._endpoint(wanted.endpoint)

        def attempt() -> RegistrationResult:
            existing = self._find(wanted.id, expected)
            if existing is None:
                return self._create(wanted, endpoint)
            return self._change(existing, _replaced(existing, wanted, endpoint), wanted, expected)

        return self._until_done(attempt)

    def replace(self, provider_id: str, wanted: ReplacementIn, expected: IfMatch | None = None) -> RegistrationResult:
        """Replaces a provider (PUT), like `register`, and never creates one.

        Raises as `register`, and InvalidRequest for another id in the body, ProviderNotFound.
        """
        _refuse_another(provider_id, wanted.id)
        endpoint = self._endpoint(wanted.endpoint)

        def attempt() -> RegistrationResult:
            existing = self._there(provider_id, expected)
            return self._change(existing, _replaced(existing, wanted, endpoint), wanted, expected)

        return self._until_done(attempt)

    def patch(self, provider_id: str, changes: PatchIn, expected: IfMatch | None = None) -> RegistrationResult:
        """Changes the fields that are given and no other (PATCH). Raises as `replace`."""
        _refuse_another(provider_id, changes.id)
        given = changes.model_dump(exclude_unset=True)
        if "endpoint" in given:
            given["endpoint"] = self._endpoint(given["endpoint"])

        def attempt() -> RegistrationResult:
            existing = self._there(provider_id, expected)
            return self._change(existing, _patched(existing, given), changes, expected)

        return self._until_done(attempt)

    def delete(self, provider_id: str, expected: IfMatch | None = None) -> None:
        """Removes a provider. Raises ProviderNotFound, PreconditionFailed, DefaultProviderNeeded, RegistryBusy."""
        self._until_done(lambda: self._providers.delete(provider_id, expected))

    def _until_done[T](self, attempt: Callable[[], T]) -> T:
        for number in range(ATTEMPTS):
            try:
                return attempt()
            except RegistryBusy:  # another one came between: after a pause that is hardly theirs, look again
                # The system's numbers: those of `random` are the same in all that start from one snapshot (SnapStart).
                self._pause(random.SystemRandom().uniform(0, min(MAX_PAUSE_SECONDS, 0.02 * 2**number)))
        raise RegistryBusy

    def _find(self, provider_id: str, expected: IfMatch | None) -> Provider | None:
        existing = self._providers.find(provider_id)
        if expected is not None:
            expected.check(existing)
        return existing

    def _there(self, provider_id: str, expected: IfMatch | None) -> Provider:
        """What is not there has no state to expect: ProviderNotFound, whatever If-Match says."""
        existing = self._providers.get(provider_id)
        if expected is not None:
            expected.check(existing)
        return existing

    def _endpoint(self, given: str) -> str:
        endpoint = normalise(given)
        self._endpoint_policy.guard_endpoint(endpoint)
        return endpoint

    def _create(self, wanted: ProviderIn, endpoint: str) -> RegistrationResult:
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
        provider = self._with_key(provider, wanted.api_key or "")
        self._providers.create(provider)
        return RegistrationResult(self._as_it_is_now(provider), created=True, reset=True)

    def _change(
        self, existing: Provider, wanted: Provider, given: ReplacementIn | PatchIn, expected: IfMatch | None
    ) -> RegistrationResult:
        """Writes what `wanted` changes, with the key and the default that are `given`; nothing when it is the same."""
        if existing.default and given.default is False:
            raise DefaultProviderNeeded
        provider = replace(wanted, default=existing.default or bool(given.default))
        provider = self._with_given_key(existing, provider, given.api_key)
        reset = _differ(existing, provider, RESETTING)
        if _differ(existing, provider, REGISTERED):
            provider = replace(provider, revision=_opaque(), updated_at=self._clock())
        if _differ(existing, provider, CHECKED):
            provider = replace(provider, version=_opaque())
        if provider != existing:
            seen = expected is not None and expected.tags is not None  # being the default is part of a tag
            hold_default = seen or bool(given.default)
            self._providers.update(existing, provider, reset_health=reset, hold_default=hold_default)
        return RegistrationResult(self._as_it_is_now(provider), created=False, reset=reset)

    def _as_it_is_now(self, written: Provider) -> Provider:
        """With the health that is kept and the default as it is named; as it was written if it is gone already."""
        return self._providers.find(written.id) or written

    def _with_given_key(self, existing: Provider, provider: Provider, key: str | None) -> Provider:
        if key is not None:
            return self._with_key(provider, key)
        if existing.key_ciphertext is not None and origin_of(provider.endpoint) != existing.origin:
            raise ApiKeyRequired
        return provider

    def _with_key(self, provider: Provider, key: str) -> Provider:
        """The provider with this key, or with none when it is empty. The same key is encrypted again too: sending it
        is the way out when the stored ciphertext cannot be decrypted any more."""
        if not key:
            return replace(provider, key_ciphertext=None, key_fingerprint=None)
        ciphertext = self._keys.encrypt(key, provider_id=provider.id, origin=provider.origin)
        return replace(provider, key_ciphertext=ciphertext, key_fingerprint=fingerprint(key, provider_id=provider.id))


def _refuse_another(provider_id: str, given: str | None) -> None:
    if given not in {None, provider_id}:
        raise InvalidRequest("id is another one than the path's, and an id never changes. Leave it out.", param="id")


def _replaced(existing: Provider, wanted: ReplacementIn, endpoint: str) -> Provider:
    return replace(
        existing,
        name=wanted.name or existing.id,
        type=wanted.type,
        endpoint=endpoint,
        model=wanted.model,
        description=wanted.description,
        heartbeat=_heartbeat(wanted, existing.heartbeat),
    )


def _patched(existing: Provider, given: dict[str, Any]) -> Provider:
    plain = {name: given[name] for name in ("name", "type", "endpoint", "model", "description") if name in given}
    return replace(existing, **plain, heartbeat=replace(existing.heartbeat, **given.get("heartbeat", {})))


def _heartbeat(wanted: ReplacementIn, kept: HeartbeatSettings) -> HeartbeatSettings:
    given = wanted.heartbeat
    return kept if given is None else HeartbeatSettings(given.enabled, given.model, given.max_tokens)


def _differ(one: Provider, other: Provider, names: tuple[str, ...]) -> bool:
    return any(getattr(one, name) != getattr(other, name) for name in names)


def _opaque() -> str:
    return uuid.uuid4().hex
