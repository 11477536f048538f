"""Registers, changes and removes providers."""

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
from gateway.registry.muting import check_muted_until
from gateway.registry.provider import HeartbeatSettings, Provider, origin_of
from gateway.registry.schemas import PatchIn, ProviderIn, ReplacementIn
from gateway.registry.store import ProviderStore

# The pauses add up to about 2 s on average, in which twenty concurrent writers of one provider all succeed.
MAX_ATTEMPTS = 15
MAX_PAUSE_SECONDS = 0.4
# A change of these fields resets the health to `pending`.
RESET_FIELDS = ("endpoint", "model", "key_fingerprint")
# A change of these fields makes a new version: heartbeats of the old version are outdated.
VERSION_FIELDS = (*RESET_FIELDS, "heartbeat")
# A change of these fields makes a new revision.
REVISION_FIELDS = (*VERSION_FIELDS, "name", "type", "description", "default", "muted_until")

# A patch replaces these fields as a whole.
PLAIN_FIELDS = ("name", "type", "endpoint", "model", "description", "muted_until")


@dataclass(frozen=True)
class RegistrationResult:
    """The provider after a change. `reset`: the change set its health to `pending`."""

    provider: Provider
    created: bool
    reset: bool


class Registry:
    """Registers, changes and removes providers whose endpoints the policy allows.

    Concurrent updates never overwrite each other: a change that loses a race is computed again from the current
    provider, and raises RegistryBusy after MAX_ATTEMPTS. Each attempt checks `if_match` again and writes only to the
    provider that it checked, so that one of two changes with the same ETag is rejected.
    """

    def __init__(
        self,
        store: ProviderStore,
        cipher: KeyCipher,
        *,
        clock: Callable[[], datetime],
        endpoint_policy: EndpointPolicy,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._cipher = cipher
        self._clock = clock
        self._endpoint_policy = endpoint_policy
        self._pause = pause

    def register(self, registration: ProviderIn, if_match: IfMatch | None = None) -> RegistrationResult:
        """Creates or replaces a provider (POST). Repeating a registration changes nothing.

        Raises InvalidEndpoint, ApiKeyRequired, DefaultProviderNeeded, TooManyProviders, PreconditionFailed,
        RegistryBusy.
        """
        endpoint = self._allowed_endpoint(registration.endpoint)

        def attempt() -> RegistrationResult:
            existing = self._store.find(registration.id)
            if if_match is not None:
                if_match.check(existing)
            if existing is None:
                return self._create(registration, endpoint)
            return self._update(existing, _replaced(existing, registration, endpoint), registration, if_match)

        return self._retry_while_busy(attempt)

    def replace(
        self, provider_id: str, replacement: ReplacementIn, if_match: IfMatch | None = None
    ) -> RegistrationResult:
        """Replaces an existing provider (PUT).

        Raises InvalidRequest for another id in the body, ProviderNotFound, and the errors of `register`.
        """
        _require_same_id(provider_id, replacement.id)
        endpoint = self._allowed_endpoint(replacement.endpoint)

        def attempt() -> RegistrationResult:
            existing = self._existing(provider_id, if_match)
            return self._update(existing, _replaced(existing, replacement, endpoint), replacement, if_match)

        return self._retry_while_busy(attempt)

    def patch(self, provider_id: str, patch: PatchIn, if_match: IfMatch | None = None) -> RegistrationResult:
        """Changes only the fields that the patch contains (PATCH). Raises the errors of `replace`."""
        _require_same_id(provider_id, patch.id)
        changes = patch.model_dump(exclude_unset=True)
        if "endpoint" in changes:
            changes["endpoint"] = self._allowed_endpoint(changes["endpoint"])

        def attempt() -> RegistrationResult:
            existing = self._existing(provider_id, if_match)
            return self._update(existing, _patched(existing, changes), patch, if_match)

        return self._retry_while_busy(attempt)

    def delete(self, provider_id: str, if_match: IfMatch | None = None) -> None:
        """Removes a provider. Raises ProviderNotFound, PreconditionFailed, DefaultProviderNeeded, RegistryBusy."""
        self._retry_while_busy(lambda: self._store.delete(provider_id, if_match))

    def _retry_while_busy[T](self, attempt: Callable[[], T]) -> T:
        for number in range(MAX_ATTEMPTS):
            try:
                return attempt()
            except RegistryBusy:
                # SystemRandom, because with SnapStart all processes share the state of `random`.
                self._pause(random.SystemRandom().uniform(0, min(MAX_PAUSE_SECONDS, 0.02 * 2**number)))
        raise RegistryBusy

    def _existing(self, provider_id: str, if_match: IfMatch | None) -> Provider:
        """Raises ProviderNotFound before PreconditionFailed: a missing provider is 404 whatever If-Match says."""
        existing = self._store.get(provider_id)
        if if_match is not None:
            if_match.check(existing)
        return existing

    def _allowed_endpoint(self, endpoint: str) -> str:
        normalised = normalise(endpoint)
        self._endpoint_policy.guard_endpoint(normalised)
        return normalised

    def _create(self, registration: ProviderIn, endpoint: str) -> RegistrationResult:
        now = self._clock()
        if registration.muted_until is not None:
            check_muted_until(registration.muted_until, now)
        provider = Provider(
            id=registration.id,
            name=registration.name or registration.id,
            type=registration.type,
            endpoint=endpoint,
            model=registration.model,
            description=registration.description,
            heartbeat=_heartbeat_settings(registration, HeartbeatSettings()),
            muted_until=registration.muted_until,
            version=_random_id(),
            revision=_random_id(),
            created_at=now,
            updated_at=now,
            default=bool(registration.default),
        )
        provider = self._with_key(provider, registration.api_key or "")
        self._store.create(provider)
        return RegistrationResult(self._read_back(provider), created=True, reset=True)

    def _update(
        self, existing: Provider, changed: Provider, body: ReplacementIn | PatchIn, if_match: IfMatch | None
    ) -> RegistrationResult:
        """Writes `changed` with the body's key and default. Writes nothing when the provider stays the same."""
        if existing.default and body.default is False:
            raise DefaultProviderNeeded
        # The stored value is always accepted, because repeating a registration must change nothing.
        if changed.muted_until is not None and changed.muted_until != existing.muted_until:
            check_muted_until(changed.muted_until, self._clock())
        provider = replace(changed, default=existing.default or bool(body.default))
        provider = self._with_key_of_body(existing, provider, body.api_key)
        reset = _differ(existing, provider, RESET_FIELDS)
        if _differ(existing, provider, REVISION_FIELDS):
            provider = replace(provider, revision=_random_id(), updated_at=self._clock())
        if _differ(existing, provider, VERSION_FIELDS):
            provider = replace(provider, version=_random_id())
        if provider != existing:
            # `default` is part of the ETag, but not of the revision that the store compares.
            matches_etag = if_match is not None and if_match.tags is not None
            require_same_default = matches_etag or bool(body.default)
            self._store.update(existing, provider, reset_health=reset, require_same_default=require_same_default)
        return RegistrationResult(self._read_back(provider), created=False, reset=reset)

    def _read_back(self, written: Provider) -> Provider:
        """Returns the provider with its current health and default, or as written when it was deleted meanwhile."""
        return self._store.find(written.id) or written

    def _with_key_of_body(self, existing: Provider, provider: Provider, key: str | None) -> Provider:
        """Sets the body's key. Without one keeps the stored key, or raises ApiKeyRequired for a new origin."""
        if key is not None:
            return self._with_key(provider, key)
        if existing.key_ciphertext is not None and origin_of(provider.endpoint) != existing.origin:
            raise ApiKeyRequired
        return provider

    def _with_key(self, provider: Provider, key: str) -> Provider:
        """Encrypts and sets the key. An empty key removes the stored one.

        An unchanged key is encrypted again too: sending the key replaces a ciphertext that cannot be decrypted.
        """
        if not key:
            return replace(provider, key_ciphertext=None, key_fingerprint=None)
        ciphertext = self._cipher.encrypt(key, provider_id=provider.id, origin=provider.origin)
        return replace(provider, key_ciphertext=ciphertext, key_fingerprint=fingerprint(key, provider_id=provider.id))


def _require_same_id(provider_id: str, body_id: str | None) -> None:
    if body_id not in {None, provider_id}:
        raise InvalidRequest("The id in the body differs from the id in the path. Leave it out.", param="id")


def _replaced(existing: Provider, replacement: ReplacementIn, endpoint: str) -> Provider:
    return replace(
        existing,
        name=replacement.name or existing.id,
        type=replacement.type,
        endpoint=endpoint,
        model=replacement.model,
        description=replacement.description,
        heartbeat=_heartbeat_settings(replacement, existing.heartbeat),
        muted_until=replacement.muted_until if "muted_until" in replacement.model_fields_set else existing.muted_until,
    )


def _patched(existing: Provider, changes: dict[str, Any]) -> Provider:
    plain = {name: changes[name] for name in PLAIN_FIELDS if name in changes}
    return replace(existing, **plain, heartbeat=replace(existing.heartbeat, **changes.get("heartbeat", {})))


def _heartbeat_settings(body: ReplacementIn, current: HeartbeatSettings) -> HeartbeatSettings:
    settings = body.heartbeat
    return current if settings is None else HeartbeatSettings(settings.enabled, settings.model, settings.max_tokens)


def _differ(one: Provider, other: Provider, names: tuple[str, ...]) -> bool:
    return any(getattr(one, name) != getattr(other, name) for name in names)


def _random_id() -> str:
    return uuid.uuid4().hex
