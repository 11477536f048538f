"""Helpers for tests of the registry: concurrent changes and transaction conflicts, which moto does not produce."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gateway.heartbeat.health import next_health
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.provider import Health, Provider
from gateway.registry.service import Registry
from gateway.registry.store import ProviderStore
from tests.conftest import Aws
from tests.unit.gateway.builders import Clock, an_outcome
from tests.unit.gateway.conftest import PUBLIC

OTHER = "https://other.example.com/v1"


def key_of(provider: Provider, cipher: KeyCipher) -> str | None:
    ciphertext = provider.key_ciphertext
    if ciphertext is None:
        return None
    return cipher.decrypt(ciphertext, provider_id=provider.id, origin=provider.origin)


def beat(providers: ProviderStore, error: str | None = None) -> Health:
    read = providers.get("main")
    health = next_health(read.health, an_outcome(500, error=error, model="echo"))
    assert providers.record_beat(read, health)
    return health


class Interrupted(ProviderStore):
    """Calls `interrupt` after each of the first `times` reads of a provider."""

    times = 0
    interrupt: Callable[[], object]

    def find(self, provider_id: str) -> Provider | None:
        provider = super().find(provider_id)
        if self.times:
            self.times -= 1
            self.interrupt()
        return provider


def interrupted_registry(aws: Aws, by: Callable[[], object], times: int = 1) -> Registry:
    """Returns a registry where `by` runs between the read and the write of the first `times` attempts."""
    providers = Interrupted(aws.providers)
    providers.interrupt, providers.times = by, times
    cipher = KeyCipher(aws.kms, aws.key_arn)
    return Registry(providers, cipher, clock=Clock(), endpoint_policy=PUBLIC, pause=lambda _: None)


@contextmanager
def conflicting_transactions(aws: Aws, times: int) -> Iterator[None]:
    """Makes the next `times` transactions fail with TransactionConflict."""
    client, left = aws.providers.meta.client, [times]
    events, call = client.meta.events, "before-parameter-build.dynamodb.TransactWriteItems"

    def fail(**_: Any) -> None:
        if left[0]:
            left[0] -= 1
            reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
            response: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise client.exceptions.TransactionCanceledException(response, "TransactWriteItems")

    events.register(call, fail, unique_id="conflict")
    try:
        yield
    finally:
        events.unregister(call, unique_id="conflict")
