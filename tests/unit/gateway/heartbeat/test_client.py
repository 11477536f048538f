from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import boto3
import pytest
from botocore.config import Config

from gateway.core.errors import GatewayError, HeartbeatFailed, HeartbeatTimeout, ProviderError, ProviderNotFound
from gateway.heartbeat.client import CLIENT_CONFIG, HeartbeatClient
from gateway.heartbeat.history import to_past_beat
from gateway.heartbeat.results import relay_errors, serialize_beat
from tests.conftest import REGION
from tests.lambda_service import LambdaService, serving
from tests.rehearsal import wait_until
from tests.unit.gateway.builders import an_outcome

BEAT = to_past_beat(an_outcome(1, error="no", ttft_ms=3, tokens=7, model="echo"))


@pytest.fixture
def service() -> Iterator[LambdaService]:
    with serving(LambdaService(lambda _: {})) as running:
        yield running


def client(service: LambdaService, config: Config = CLIENT_CONFIG) -> HeartbeatClient:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
    return HeartbeatClient(boto3.client("lambda", endpoint_url=service.url, config=config, **keys), "heartbeat")  # type: ignore[call-overload]


def test_returns_the_beat_of_the_function(service: LambdaService) -> None:
    service.handler = lambda _: {"beat": serialize_beat(BEAT)}

    assert client(service).beat("main") == BEAT
    assert service.events == [{"provider_id": "main", "now": True}]


def test_returns_the_models_unchanged(service: LambdaService) -> None:
    service.handler = lambda _: {"models": [{"id": "ä"}, "b", None]}

    assert client(service).models("main") == [{"id": "ä"}, "b", None]
    assert service.events == [{"provider_id": "main", "models": True}]


def raising(error: GatewayError) -> Any:
    def work() -> dict[str, Any]:
        raise error

    return lambda _: relay_errors(work)


@pytest.mark.parametrize(
    "error",
    [ProviderNotFound(), ProviderError(401, "no", code="provider_key_refused", retryable=False)],
    ids=["the gateway", "the provider"],
)
def test_relays_an_error_with_its_status_and_message(service: LambdaService, error: GatewayError) -> None:
    service.handler = raising(error)

    with pytest.raises(GatewayError) as raised:
        client(service).models("main")

    assert (raised.value.status, raised.value.body()) == (error.status, error.body())


def test_a_function_error_raises_without_its_text(service: LambdaService) -> None:
    service.handler = lambda event: event["a secret"]

    with pytest.raises(HeartbeatFailed) as raised:
        client(service).beat("main")

    assert "secret" not in raised.value.message


def test_a_failed_invocation_raises_and_is_not_retried(service: LambdaService) -> None:
    service.status = 500

    with pytest.raises(HeartbeatFailed):
        client(service).beat("main")

    assert len(service.events) == 1


def test_an_unreachable_lambda_service_raises(service: LambdaService) -> None:
    heartbeats = client(replace(service, url="http://127.0.0.1:1"))

    with pytest.raises(HeartbeatFailed):
        heartbeats.beat("main")


def test_a_read_timeout_raises_and_is_not_retried(service: LambdaService) -> None:
    answered = Event()
    service.handler = lambda _: answered.wait(30)
    heartbeats = client(service, CLIENT_CONFIG.merge(Config(read_timeout=0.2)))

    with pytest.raises(HeartbeatTimeout, match="25 s"):
        heartbeats.beat("main")

    assert wait_until(lambda: service.events)
    assert len(service.events) == 1
    answered.set()


def test_timeouts_end_before_api_gateways() -> None:
    assert vars(CLIENT_CONFIG)["read_timeout"] + vars(CLIENT_CONFIG)["connect_timeout"] < 29
