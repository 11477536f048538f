from dataclasses import replace

import pytest

from gateway.core.errors import ApiKeyRequired, DefaultProviderNeeded, InvalidEndpoint, KeyUnreadable
from gateway.registry.endpoint import EndpointPolicy
from gateway.registry.key_cipher import KeyCipher, fingerprint
from gateway.registry.provider import Health, HeartbeatSettings
from gateway.registry.service import Registry
from gateway.registry.store import ProviderStore
from tests.conftest import Aws
from tests.unit.gateway.builders import ENDPOINT, KEY, OTHER_KEY, Clock, wanted
from tests.unit.gateway.registering import OTHER, beat, key_of


def test_registration_creates_provider_with_defaults(registry: Registry, providers: ProviderStore) -> None:
    done = registry.register(wanted())
    assert (done.created, done.reset) == (True, True)
    provider = done.provider
    assert provider == providers.get("main")
    assert (provider.name, provider.type, provider.endpoint, provider.model) == ("main", "openai", ENDPOINT, None)
    assert (provider.default, provider.key_ciphertext, provider.key_fingerprint) == (True, None, None)
    assert (provider.health, provider.heartbeat) == (Health(), HeartbeatSettings())
    assert provider.created_at == provider.updated_at
    assert provider.version != provider.revision


def test_registration_stores_all_fields(registry: Registry, cipher: KeyCipher) -> None:
    registration = wanted(
        endpoint="https://TokenHub.example.com/v1/chat/completions",
        name="Main",
        type="vllm",
        model="echo",
        description="The one",
        api_key=KEY,
        heartbeat={"enabled": False, "model": "small", "max_tokens": 5},
    )
    provider = registry.register(registration).provider
    assert (provider.name, provider.type, provider.model) == ("Main", "vllm", "echo")
    assert (provider.description, provider.endpoint) == ("The one", ENDPOINT)
    assert provider.heartbeat == HeartbeatSettings(False, "small", 5)
    assert key_of(provider, cipher) == KEY
    assert provider.key_fingerprint == fingerprint(KEY, provider_id="main")


def test_table_never_contains_the_plain_key(aws: Aws, registry: Registry) -> None:
    registry.register(wanted(api_key=KEY))
    assert KEY not in repr(aws.providers.scan()["Items"])


@pytest.mark.parametrize("fields", [{}, {"api_key": KEY}, {"model": "echo", "description": "x", "default": True}])
def test_repeated_registration_changes_nothing(
    registry: Registry, providers: ProviderStore, fields: dict[str, object]
) -> None:
    first = registry.register(wanted(**fields)).provider
    health = beat(providers)
    again = registry.register(wanted(**fields))
    assert (again.created, again.reset) == (False, False)
    assert replace(again.provider, key_ciphertext=None) == replace(first, key_ciphertext=None, health=health)


def test_replacement_keeps_created_at_and_list_position(registry: Registry, providers: ProviderStore) -> None:
    first = registry.register(wanted()).provider
    registry.register(wanted(id="second"))
    again = registry.register(wanted(description="new"))
    assert not again.created
    assert again.provider.created_at == first.created_at < again.provider.updated_at
    assert [provider.id for provider in providers.all()] == ["second", "main"]


def test_replacement_resets_omitted_fields_but_keeps_key_default_and_heartbeat(
    registry: Registry, cipher: KeyCipher
) -> None:
    registry.register(
        wanted(name="Main", type="vllm", model="echo", description="x", api_key=KEY, heartbeat={"max_tokens": 5})
    )
    provider = registry.register(wanted()).provider
    assert (provider.name, provider.type, provider.model, provider.description) == ("main", "openai", None, "")
    assert (provider.default, provider.heartbeat.max_tokens) == (True, 5)
    assert key_of(provider, cipher) == KEY


@pytest.mark.parametrize(
    ("fields", "resets", "makes_a_version"),
    [
        ({"endpoint": ENDPOINT + "/tenant"}, True, True),
        ({"model": "other"}, True, True),
        ({"api_key": OTHER_KEY}, True, True),
        ({"api_key": ""}, True, True),
        ({"heartbeat": {"max_tokens": 5}}, False, True),
        ({"name": "Other"}, False, False),
        ({"type": "vllm"}, False, False),
        ({"description": "other"}, False, False),
    ],
)
def test_resets_health_only_for_new_endpoint_key_or_model(
    registry: Registry, providers: ProviderStore, fields: dict[str, object], resets: bool, makes_a_version: bool
) -> None:
    before = registry.register(wanted(api_key=KEY, model="echo")).provider
    health = beat(providers, error="no")
    done = registry.register(wanted(**({"model": "echo"} | fields)))
    assert done.reset is resets
    assert (done.provider.version != before.version) is makes_a_version
    assert done.provider.revision != before.revision
    assert done.provider.updated_at > before.updated_at
    if resets:
        assert (done.provider.health.status, done.provider.health.last_heartbeat_error) == ("pending", None)
        assert done.provider.health.last_heartbeat_at == health.last_heartbeat_at
    else:
        assert done.provider.health == health


def test_versions_are_never_reused(registry: Registry) -> None:
    models = ["a", "b", "a", "b", "a"]
    versions = [registry.register(wanted(model=model)).provider.version for model in models]
    assert len(set(versions)) == len(models)


def test_empty_key_removes_stored_key(registry: Registry) -> None:
    registry.register(wanted(api_key=KEY))
    provider = registry.register(wanted(api_key="")).provider
    assert (provider.key_ciphertext, provider.key_fingerprint) == (None, None)


def test_new_key_replaces_stored_key(registry: Registry, cipher: KeyCipher) -> None:
    registry.register(wanted(api_key=KEY))
    provider = registry.register(wanted(api_key=OTHER_KEY)).provider
    assert key_of(provider, cipher) == OTHER_KEY
    assert provider.key_fingerprint == fingerprint(OTHER_KEY, provider_id="main")


@pytest.mark.parametrize("endpoint", [OTHER, "http://tokenhub.example.com/v1", "https://tokenhub.example.com:8443/v1"])
def test_new_origin_requires_key_again(aws: Aws, providers: ProviderStore, cipher: KeyCipher, endpoint: str) -> None:
    registry = Registry(
        providers, cipher, clock=Clock(), endpoint_policy=EndpointPolicy(private_networks=True, loopback=False)
    )
    before = registry.register(wanted(api_key=KEY)).provider
    with pytest.raises(ApiKeyRequired):
        registry.register(wanted(endpoint=endpoint))
    assert providers.get("main") == before


def test_new_origin_accepts_resent_key(registry: Registry, cipher: KeyCipher) -> None:
    registry.register(wanted(api_key=KEY))
    provider = registry.register(wanted(endpoint=OTHER, api_key=KEY)).provider
    assert (provider.endpoint, key_of(provider, cipher)) == (OTHER, KEY)


def test_new_origin_accepts_empty_key(registry: Registry) -> None:
    registry.register(wanted(api_key=KEY))
    provider = registry.register(wanted(endpoint=OTHER, api_key="")).provider
    assert (provider.endpoint, provider.key_ciphertext) == (OTHER, None)


def test_new_origin_without_stored_key_and_new_path_need_no_key(registry: Registry, cipher: KeyCipher) -> None:
    registry.register(wanted())
    assert registry.register(wanted(endpoint=OTHER)).provider.endpoint == OTHER
    registry.register(wanted(endpoint=OTHER, api_key=KEY))
    assert key_of(registry.register(wanted(endpoint=OTHER + "/tenant")).provider, cipher) == KEY


def test_stored_key_decrypts_only_for_its_provider_and_origin(registry: Registry, cipher: KeyCipher) -> None:
    ciphertext = registry.register(wanted(api_key=KEY)).provider.key_ciphertext
    assert ciphertext is not None
    for provider_id, origin in [("other", "https://tokenhub.example.com"), ("main", "https://other.example.com")]:
        with pytest.raises(KeyUnreadable):
            cipher.decrypt(ciphertext, provider_id=provider_id, origin=origin)


def test_resent_key_replaces_unreadable_ciphertext(
    aws: Aws, registry: Registry, providers: ProviderStore, cipher: KeyCipher
) -> None:
    registry.register(wanted(api_key=KEY))
    aws.providers.update_item(
        Key={"id": "main"}, UpdateExpression="SET key_ciphertext = :c", ExpressionAttributeValues={":c": b"lost"}
    )
    registry.register(wanted(api_key=KEY))
    assert key_of(providers.get("main"), cipher) == KEY


def test_rejects_default_false_for_the_default(registry: Registry, providers: ProviderStore) -> None:
    registry.register(wanted())
    registry.register(wanted(id="second"))
    with pytest.raises(DefaultProviderNeeded):
        registry.register(wanted(default=False, description="new"))
    assert providers.get("main").description == ""
    assert not registry.register(wanted(id="second", default=False)).provider.default


def test_default_true_takes_over_the_default(registry: Registry, providers: ProviderStore) -> None:
    registry.register(wanted())
    registry.register(wanted(id="second"))
    done = registry.register(wanted(id="second", default=True))
    assert (done.provider.default, done.reset) == (True, False)
    assert providers.default().id == "second"
    assert not registry.register(wanted(default=False)).provider.default


@pytest.mark.parametrize("endpoint", ["http://tokenhub.example.com", "https://10.0.0.1", "https://127.0.0.1", "x"])
def test_does_not_store_forbidden_endpoints(registry: Registry, providers: ProviderStore, endpoint: str) -> None:
    with pytest.raises(InvalidEndpoint):
        registry.register(wanted(endpoint=endpoint))
    assert providers.all() == []
