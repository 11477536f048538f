"""PUT and PATCH: the fields that they keep and replace, and the rules that they share with registration."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.core.errors import (
    ApiKeyRequired,
    DefaultProviderNeeded,
    InvalidEndpoint,
    InvalidRequest,
    PreconditionFailed,
    ProviderNotFound,
)
from gateway.registry.etags import IfMatch, etag
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.provider import HeartbeatSettings
from gateway.registry.service import RegistrationResult, Registry
from gateway.registry.store import ProviderStore
from tests.unit.gateway.builders import ENDPOINT, KEY, OTHER_KEY, patch, replacement, wanted
from tests.unit.gateway.registering import OTHER, beat, key_of

type Change = Callable[..., RegistrationResult]

ALL = {"name": "Main", "type": "vllm", "model": "echo", "description": "x", "api_key": KEY}
SETTINGS = {"enabled": False, "model": "small", "max_tokens": 5}


@pytest.fixture(params=["PUT", "PATCH"])
def change(request: pytest.FixtureRequest, registry: Registry) -> Change:
    """Changes some fields of `main`. The PUT also sends the current values of the others."""

    def put(**fields: object) -> RegistrationResult:
        current = {"endpoint": ENDPOINT, "name": "Main", "type": "vllm", "model": "echo", "description": "x"}
        return registry.replace("main", replacement(**(current | fields)))

    return put if request.param == "PUT" else lambda **fields: registry.patch("main", patch(**fields))


def test_replacement_resets_omitted_fields_but_keeps_key_default_and_heartbeat(
    registry: Registry, cipher: KeyCipher
) -> None:
    before = registry.register(wanted(**ALL, heartbeat=SETTINGS)).provider
    done = registry.replace("main", replacement(endpoint=ENDPOINT))
    provider = done.provider
    assert (done.created, done.reset) == (False, True)
    assert (provider.name, provider.type, provider.model, provider.description) == ("main", "openai", None, "")
    assert (provider.default, provider.heartbeat) == (True, HeartbeatSettings(False, "small", 5))
    assert (provider.created_at, key_of(provider, cipher)) == (before.created_at, KEY)


def test_replacement_and_patch_create_nothing(registry: Registry, providers: ProviderStore) -> None:
    with pytest.raises(ProviderNotFound):
        registry.replace("main", replacement())
    with pytest.raises(ProviderNotFound):
        registry.patch("main", patch(name="Main"))
    assert providers.all() == []


def test_if_match_on_missing_provider_creates_nothing(registry: Registry) -> None:
    for expected in (IfMatch(), IfMatch(frozenset({'"seen"'}))):
        with pytest.raises(PreconditionFailed):
            registry.register(wanted(), expected)
        with pytest.raises(ProviderNotFound):
            registry.replace("main", replacement(), expected)
        with pytest.raises(ProviderNotFound):
            registry.patch("main", patch(), expected)
        with pytest.raises(ProviderNotFound):
            registry.delete("main", expected)


def test_rejects_another_id_in_the_body(registry: Registry, providers: ProviderStore) -> None:
    before = registry.register(wanted()).provider
    with pytest.raises(InvalidRequest) as put:
        registry.replace("main", replacement(id="other", name="x"))
    with pytest.raises(InvalidRequest) as patched:
        registry.patch("main", patch(id="other", name="x"))
    assert [put.value.param, patched.value.param] == ["id", "id"]
    assert providers.all() == [before]
    registry.replace("main", replacement(id="main"))
    registry.patch("main", patch(id="main"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "Other"}, {"name": "Other"}),
        ({"type": "ollama"}, {"type": "ollama"}),
        ({"model": None}, {"model": None}),
        ({"description": ""}, {"description": ""}),
        ({"endpoint": ENDPOINT + "/tenant/"}, {"endpoint": ENDPOINT + "/tenant"}),
        ({"heartbeat": {"enabled": True}}, {"heartbeat": HeartbeatSettings(True, "small", 5)}),
        ({"heartbeat": {"model": None}}, {"heartbeat": HeartbeatSettings(False, None, 5)}),
        ({"heartbeat": {"max_tokens": 9}}, {"heartbeat": HeartbeatSettings(False, "small", 9)}),
        ({"api_key": ""}, {"key_ciphertext": None, "key_fingerprint": None}),
    ],
)
def test_patch_changes_only_its_fields(
    registry: Registry, fields: dict[str, object], expected: dict[str, object]
) -> None:
    before = registry.register(wanted(**ALL, heartbeat=SETTINGS)).provider
    after = registry.patch("main", patch(**fields)).provider
    assert after.revision != before.revision
    metadata = {"revision": after.revision, "version": after.version, "updated_at": after.updated_at}
    assert after == replace(before, **expected, **metadata)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "Main", "model": "echo", "default": True, "endpoint": ENDPOINT + "/chat/completions"},
        {"api_key": KEY},
        {"heartbeat": SETTINGS},
    ],
)
def test_unchanged_values_change_nothing(
    registry: Registry, providers: ProviderStore, change: Change, fields: dict[str, object]
) -> None:
    before = registry.register(wanted(**ALL, heartbeat=SETTINGS)).provider
    health = beat(providers)
    done = change(**fields)
    assert not done.reset
    assert etag(done.provider) == etag(before)
    assert replace(done.provider, key_ciphertext=None) == replace(before, key_ciphertext=None, health=health)


@pytest.mark.parametrize(
    ("fields", "resets", "makes_a_version"),
    [
        ({"endpoint": ENDPOINT + "/tenant"}, True, True),
        ({"model": "other"}, True, True),
        ({"model": None}, True, True),
        ({"api_key": OTHER_KEY}, True, True),
        ({"api_key": ""}, True, True),
        ({"heartbeat": {"max_tokens": 9}}, False, True),
        ({"name": "Other"}, False, False),
        ({"type": "openai"}, False, False),
        ({"description": "other"}, False, False),
    ],
)
def test_resets_health_only_for_new_endpoint_key_or_model(
    registry: Registry,
    providers: ProviderStore,
    change: Change,
    fields: dict[str, object],
    resets: bool,
    makes_a_version: bool,
) -> None:
    before = registry.register(wanted(**ALL)).provider
    health = beat(providers, error="no")
    done = change(**fields)
    assert done.reset is resets
    assert (done.provider.version != before.version) is makes_a_version
    assert etag(done.provider) != etag(before)
    assert done.provider.updated_at > before.updated_at
    expected = ("pending", None) if resets else (health.status, health.last_heartbeat_error)
    assert (done.provider.health.status, done.provider.health.last_heartbeat_error) == expected


def test_new_origin_requires_key_again(
    registry: Registry, providers: ProviderStore, cipher: KeyCipher, change: Change
) -> None:
    before = registry.register(wanted(**ALL)).provider
    with pytest.raises(ApiKeyRequired):
        change(endpoint=OTHER)
    assert providers.get("main") == before
    moved = change(endpoint=OTHER, api_key=OTHER_KEY).provider
    assert (moved.endpoint, key_of(moved, cipher)) == (OTHER, OTHER_KEY)


@pytest.mark.parametrize("endpoint", ["http://tokenhub.example.com", "https://10.0.0.1", "https://127.0.0.1", "x"])
def test_does_not_store_forbidden_endpoints(
    registry: Registry, providers: ProviderStore, change: Change, endpoint: str
) -> None:
    before = registry.register(wanted(**ALL)).provider
    with pytest.raises(InvalidEndpoint):
        change(endpoint=endpoint, api_key=KEY)
    assert providers.get("main") == before


def test_default_can_be_taken_over_but_not_given_up(
    registry: Registry, providers: ProviderStore, change: Change
) -> None:
    registry.register(wanted(id="first"))
    registry.register(wanted(**ALL))
    assert not change(default=False).provider.default
    done = change(default=True)
    assert (done.provider.default, done.reset) == (True, False)
    assert change().provider.default
    with pytest.raises(DefaultProviderNeeded):
        change(default=False)
    assert [provider.id for provider in providers.all() if provider.default] == ["main"]


def test_change_of_default_changes_both_etags(registry: Registry, providers: ProviderStore) -> None:
    registry.register(wanted())
    registry.register(wanted(id="second"))
    before = [etag(provider) for provider in providers.all()]
    registry.patch("second", patch(default=True))
    assert not set(before) & {etag(provider) for provider in providers.all()}
