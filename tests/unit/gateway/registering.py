"""What tests of the registry share, and what moto does not do by itself: others that come between, and conflicts."""

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
    """A registry where something else happens after each reading of a provider, `times` times."""

    times = 0
    interrupt: Callable[[], object]

    def find(self, provider_id: str) -> Provider | None:
        found = super().find(provider_id)
        if self.times:
            self.times -= 1
            self.interrupt()
        return found


def overtaken(aws: Aws, by: Callable[[], object], times: int = 1) -> Registry:
    """A registry where `by` comes between the reading of a provider and the writing."""
    providers = Interrupted(aws.providers)
    providers.interrupt, providers.times = by, times
    cipher = KeyCipher(aws.kms, aws.key_arn)
    return Registry(providers, cipher, clock=Clock(), endpoint_policy=PUBLIC, pause=lambda _: None)


@contextmanager
def meeting_transactions(aws: Aws, times: int) -> Iterator[None]:
    """Makes the next `times` transactions fail as DynamoDB does when two meet on an item."""
    client, left = aws.providers.meta.client, [times]
    events, call = client.meta.events, "before-parameter-build.dynamodb.TransactWriteItems"

    def meet(**_: Any) -> None:
        if left[0]:
            left[0] -= 1
            reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
            answer: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise client.exceptions.TransactionCanceledException(answer, "TransactWriteItems")

    events.register(call, meet, unique_id="meet")
    try:
        yield
    finally:
        events.unregister(call, unique_id="meet")
