import hmac
import inspect
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
from botocore.exceptions import ClientError

from gateway.core.tokens import Tokens
from tests.conftest import Aws
from tests.unit.gateway.builders import SettableClock


@dataclass
class Door:
    aws: Aws
    clock: SettableClock
    tokens: Tokens
    calls: list[str]

    def rotate(self, secret: str, token: str) -> None:
        self.aws.secrets.put_secret_value(SecretId=secret, SecretString=token)

    def lose(self) -> None:
        for secret in ("its-admin", "its-client"):
            self.aws.secrets.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)

    def restore(self, **tokens: str) -> None:
        for role in ("admin", "client"):
            with suppress(self.aws.secrets.exceptions.ResourceExistsException):
                self.aws.secrets.create_secret(Name=f"its-{role}", SecretString=tokens.get(role, f"{role}-token"))

    @property
    def reads(self) -> int:
        return self.calls.count("GetSecretValue")


@pytest.fixture
def door(aws: Aws, calls: list[str]) -> Iterator[Door]:
    for role in ("admin", "client"):
        aws.secrets.create_secret(Name=f"its-{role}", SecretString=f"{role}-token")
    clock = SettableClock()
    tokens = Tokens(aws.secrets, admin_secret="its-admin", client_secret="its-client", clock=clock)
    door = Door(aws, clock, tokens, calls)
    yield door
    door.lose()


def test_maps_each_token_to_its_role(door: Door) -> None:
    asked = ["admin-token", "client-token", "other", "", "admin-token ", "ADMIN-TOKEN", "admin-toke", "töken"]
    assert [door.tokens.role_of(token) for token in asked] == ["admin", "client", *[None] * 6]


@pytest.mark.parametrize("token", ["admin-token", "client-token", "other"])
def test_compares_every_token_in_constant_time(door: Door, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("admin", "client"):
        door.rotate(f"its-{role}", f"new-{role}-token")
    compared = []
    compare = hmac.compare_digest

    def spy(value: bytes, given: bytes) -> bool:
        compared.append((value, given))
        return compare(value, given)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    door.tokens.role_of(token)

    values = (b"new-admin-token", b"admin-token", b"new-client-token", b"client-token")
    assert compared == [(value, token.encode()) for value in values]


def test_reads_nothing_before_first_use(door: Door) -> None:
    assert door.reads == 0


def test_caches_valid_tokens_for_a_minute(door: Door) -> None:
    door.tokens.role_of("client-token")
    reads = door.reads
    door.clock.now += 60
    assert door.tokens.role_of("client-token") == "client"
    assert door.reads == reads
    door.clock.now += 0.1
    assert door.tokens.role_of("client-token") == "client"
    assert door.reads == 2 * reads


def test_accepts_a_new_token_at_once(door: Door) -> None:
    door.tokens.role_of("client-token")
    door.rotate("its-client", "new-token")
    door.clock.now += 5.1
    assert door.tokens.role_of("new-token") == "client"


def test_reads_at_most_every_five_seconds_for_unknown_tokens(door: Door) -> None:
    door.tokens.role_of("client-token")
    reads = door.reads
    for _ in range(20):
        assert door.tokens.role_of("guess") is None
    assert door.reads == reads
    door.clock.now += 5.1
    for _ in range(20):
        assert door.tokens.role_of("guess") is None
    assert door.reads == 2 * reads


def test_accepts_the_previous_token_only(door: Door) -> None:
    door.rotate("its-client", "second-token")
    assert door.tokens.role_of("client-token") == "client"
    door.rotate("its-client", "third-token")
    door.clock.now += 60.1
    assert door.tokens.role_of("second-token") == "client"
    assert door.tokens.role_of("third-token") == "client"
    assert door.tokens.role_of("client-token") is None


def test_keeps_the_last_tokens_if_a_read_fails(door: Door) -> None:
    door.tokens.role_of("client-token")
    door.lose()
    door.clock.now += 1000
    assert door.tokens.role_of("client-token") == "client"
    # The token may have been created since the last successful read.
    with pytest.raises(ClientError):
        door.tokens.role_of("guess")


def test_raises_for_a_new_token_after_a_failed_read(door: Door) -> None:
    door.tokens.role_of("client-token")
    door.lose()
    door.clock.now += 10
    with pytest.raises(ClientError):
        door.tokens.role_of("new-token")
    door.restore(client="new-token")
    with pytest.raises(ClientError):
        door.tokens.role_of("new-token")
    door.clock.now += 1.1
    assert door.tokens.role_of("new-token") == "client"
    assert door.tokens.role_of("guess") is None


def test_retries_a_failed_read_after_a_second(door: Door) -> None:
    door.tokens.role_of("client-token")
    door.lose()
    door.clock.now += 1000
    before = door.reads
    for _ in range(5):
        door.tokens.role_of("client-token")
        with pytest.raises(ClientError):
            door.tokens.role_of("guess")
    # One read for each secret.
    assert door.reads == before + 2
    door.clock.now += 1.1
    door.tokens.role_of("client-token")
    assert door.reads == before + 4


def test_rejects_a_revoked_token_as_soon_as_a_read_succeeds(door: Door) -> None:
    door.tokens.role_of("client-token")
    door.lose()
    door.clock.now += 61
    assert door.tokens.role_of("client-token") == "client"
    door.restore(client="new-token")
    door.clock.now += 5.1
    assert door.tokens.role_of("client-token") is None
    assert door.tokens.role_of("new-token") == "client"


def test_measures_age_by_the_wall_clock() -> None:
    assert inspect.signature(Tokens).parameters["clock"].default is time.time


def test_a_clock_set_back_does_not_extend_a_revoked_token(door: Door) -> None:
    door.tokens.role_of("client-token")
    for token in ("second-token", "third-token"):
        door.rotate("its-client", token)
    door.clock.now -= 3600
    assert door.tokens.role_of("client-token") is None


def test_a_lost_secret_does_not_block_the_other(door: Door) -> None:
    door.aws.secrets.delete_secret(SecretId="its-admin", ForceDeleteWithoutRecovery=True)

    assert door.tokens.role_of("client-token") == "client"
    # The token may be the admin token, so it must not get a 401.
    with pytest.raises(ClientError, match="ResourceNotFound"):
        door.tokens.role_of("admin-token")
    door.restore(admin="admin-token")
    assert door.tokens.role_of("admin-token") == "admin"


def test_rejects_a_lone_surrogate(door: Door) -> None:
    assert door.tokens.role_of("client-token\ud800") is None


def test_raises_and_retries_if_secrets_were_never_read(door: Door) -> None:
    door.lose()
    for _ in range(2):
        with pytest.raises(ClientError, match="ResourceNotFound"):
            door.tokens.role_of("client-token")
    door.restore()
    assert door.tokens.role_of("client-token") == "client"
