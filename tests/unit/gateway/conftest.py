from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from gateway.keys import KeyCipher
from gateway.providers import Providers
from gateway.registry import Registry
from gateway.settings import Limits
from gateway.upstream import Upstream, _transport
from tests.conftest import Aws
from tests.rehearsal import RunningTokenHub
from tests.unit.gateway import certificates
from tests.unit.gateway.builders import Clock
from tests.unit.gateway.servers import Server, serving

QUICK = Limits(connect=2, first_byte=2, stream_idle=2, whole=3)

type Serve = Callable[..., Server]
type MakeUpstream = Callable[..., Upstream]


@pytest.fixture
def providers(aws: Aws) -> Providers:
    return Providers(aws.providers)


@pytest.fixture
def cipher(aws: Aws) -> KeyCipher:
    return KeyCipher(aws.kms, aws.key_arn)


@pytest.fixture
def registry(providers: Providers, cipher: KeyCipher) -> Registry:
    return Registry(providers, cipher, clock=Clock(), private_networks=False, loopback=False)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as servers:
        yield lambda script, tls=None: servers.enter_context(serving(script, tls))


@pytest.fixture
def make_upstream() -> Iterator[MakeUpstream]:
    """Makes upstreams whose connections are closed after the test."""
    with ExitStack() as opened:

        def make(limits: Limits = QUICK, **seams: object) -> Upstream:
            def transport() -> httpx.BaseTransport:
                made = _transport()
                opened.callback(made.close)
                return made

            return Upstream(limits, **({"transport": transport} | seams))  # type: ignore[arg-type]  # seams by name

        yield make


@pytest.fixture
def upstream(make_upstream: MakeUpstream) -> Upstream:
    return make_upstream()


@pytest.fixture(scope="session")
def running_tokenhub() -> Iterator[RunningTokenHub]:
    with RunningTokenHub(strict_keys=True) as tokenhub:
        yield tokenhub


@pytest.fixture
def tokenhub(running_tokenhub: RunningTokenHub) -> RunningTokenHub:
    running_tokenhub.reset()
    return running_tokenhub


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key, for 127.0.0.1 only."""
    return certificates.write(tmp_path_factory.mktemp("tls") / "loopback.pem", address="127.0.0.1")


@pytest.fixture(scope="session")
def foreign_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key, for another host."""
    return certificates.write(tmp_path_factory.mktemp("tls") / "foreign.pem", address="192.0.2.1")


