from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.proxy.settings import Limits
from gateway.proxy.upstream import Guard, Upstream
from gateway.registry.endpoint import EndpointPolicy
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.service import Registry
from gateway.registry.store import ProviderStore
from tests.conftest import Aws
from tests.moto_memory import empty_moto_tables
from tests.scripted_server import ScriptedServer
from tests.unit.gateway import certificates
from tests.unit.gateway.builders import Clock
from tests.unit.gateway.ticking import System

# Shorter than the deployed limits, but out of reach for a test on a busy machine.
QUICK = Limits(connect=5, first_byte=20, stream_idle=20, whole=30)
PUBLIC = EndpointPolicy(private_networks=False, loopback=False)
ANYWHERE = EndpointPolicy(private_networks=True, loopback=True)

type Serve = Callable[..., ScriptedServer]
type MakeUpstream = Callable[..., Upstream]


@pytest.fixture
def aws(module_aws: Aws) -> Aws:
    """The module's AWS with empty tables."""
    empty_moto_tables(module_aws)
    return module_aws


@pytest.fixture
def calls(aws: Aws) -> Iterator[list[str]]:
    """The names of the called AWS operations."""
    seen: list[str] = []

    def note(model: Any, **_: Any) -> None:
        seen.append(model.name)

    events = [client.meta.events for client in (aws.providers.meta.client, aws.kms, aws.secrets)]
    for each in events:
        each.register("before-call", note, unique_id="calls")
    yield seen
    for each in events:
        each.unregister("before-call", unique_id="calls")


@pytest.fixture
def providers(aws: Aws) -> ProviderStore:
    return ProviderStore(aws.providers)


@pytest.fixture
def cipher(aws: Aws) -> KeyCipher:
    return KeyCipher(aws.kms, aws.key_arn)


@pytest.fixture
def registry(providers: ProviderStore, cipher: KeyCipher) -> Registry:
    return Registry(providers, cipher, clock=Clock(), endpoint_policy=PUBLIC)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as servers:
        yield lambda script, tls=None: servers.enter_context(ScriptedServer(script, tls))


@pytest.fixture
def make_upstream() -> Iterator[MakeUpstream]:
    """Makes upstreams whose connections are closed after the test."""
    with ExitStack() as opened:

        def make(limits: Limits = QUICK, guard: Guard = ANYWHERE.guard_address, **seams: Any) -> Upstream:
            upstream = Upstream(limits, guard, **seams)
            opened.callback(upstream.close)
            return upstream

        yield make


@pytest.fixture(scope="module")
def patient_upstream() -> Iterator[Upstream]:
    """One with the deployed limits for a whole module: a client loads the CA certificates, which takes a while."""
    upstream = Upstream(Limits(), ANYWHERE.guard_address)
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def quick_upstream() -> Iterator[Upstream]:
    upstream = Upstream(QUICK, ANYWHERE.guard_address)
    yield upstream
    upstream.close()


@pytest.fixture
def upstream(quick_upstream: Upstream) -> Upstream:
    return quick_upstream


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key, for 127.0.0.1 only."""
    return certificates.write(tmp_path_factory.mktemp("tls") / "loopback.pem", address="127.0.0.1")


@pytest.fixture(scope="session")
def foreign_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key, for another host."""
    return certificates.write(tmp_path_factory.mktemp("tls") / "foreign.pem", address="192.0.2.1")


@pytest.fixture
def system(aws: Aws, providers: ProviderStore, patient_upstream: Upstream) -> System:
    return System(aws, providers, patient_upstream)
