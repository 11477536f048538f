import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config

from gateway.core.errors import GatewayError, HeartbeatFailed, HeartbeatTimeout, ProviderError, ProviderNotFound
from gateway.heartbeat.client import CLIENT_CONFIG, HeartbeatClient, answer_of, told_beat
from gateway.heartbeat.history import past_beat
from tests.conftest import REGION
from tests.lambda_service import LambdaService, serving
from tests.unit.gateway.builders import an_outcome

BEAT = past_beat(an_outcome(1, error="no", ttft_ms=3, tokens=7, model="echo"))


@pytest.fixture
def service() -> Iterator[LambdaService]:
    with serving(LambdaService(lambda _: {})) as running:
        yield running


def function(service: LambdaService, config: Config = CLIENT_CONFIG) -> HeartbeatClient:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
    return HeartbeatClient(boto3.client("lambda", endpoint_url=service.url, config=config, **keys), "heartbeat")  # type: ignore[call-overload]  # keys, by name


def test_a_beat_comes_back_as_the_function_told_it(service: LambdaService) -> None:
    service.handler = lambda _: {"beat": told_beat(BEAT)}

    assert function(service).beat("main") == BEAT
    assert service.events == [{"provider_id": "main", "now": True}]


def test_models_come_back_as_they_are(service: LambdaService) -> None:
    service.handler = lambda _: {"models": [{"id": "ä"}, "b", None]}

    assert function(service).models("main") == [{"id": "ä"}, "b", None]
    assert service.events == [{"provider_id": "main", "models": True}]


def raising(error: GatewayError) -> Any:
    def work() -> dict[str, Any]:
        raise error

    return lambda _: answer_of(work)


@pytest.mark.parametrize(
    "error",
    [ProviderNotFound(), ProviderError(401, "no", code="provider_key_refused", retryable=False)],
    ids=["ours", "the provider's"],
)
def test_an_error_of_ours_keeps_its_status_and_its_words(service: LambdaService, error: GatewayError) -> None:
    service.handler = raising(error)

    with pytest.raises(GatewayError) as met:
        function(service).models("main")

    assert (met.value.status, met.value.body()) == (error.status, error.body())


def test_a_function_that_failed_is_a_502_without_its_text(service: LambdaService) -> None:
    service.handler = lambda event: event["a secret"]

    with pytest.raises(HeartbeatFailed) as met:
        function(service).beat("main")

    assert "secret" not in met.value.message


def test_a_function_that_cannot_be_invoked_is_a_502_and_is_not_asked_twice(service: LambdaService) -> None:
    service.status = 500

    with pytest.raises(HeartbeatFailed):
        function(service).beat("main")

    assert len(service.events) == 1


def test_a_function_that_nobody_serves_is_a_502(service: LambdaService) -> None:
    asking = function(replace(service, url="http://127.0.0.1:1"))

    with pytest.raises(HeartbeatFailed):
        asking.beat("main")


def test_a_function_that_does_not_answer_is_a_504_and_is_not_asked_twice(service: LambdaService) -> None:
    service.handler = lambda _: time.sleep(1)
    asking = function(service, CLIENT_CONFIG.merge(Config(read_timeout=0.2)))

    with pytest.raises(HeartbeatTimeout, match="25 s"):
        asking.beat("main")

    assert len(service.events) == 1


def test_what_is_waited_for_ends_before_api_gateway_gives_up() -> None:
    assert vars(CLIENT_CONFIG)["read_timeout"] + vars(CLIENT_CONFIG)["connect_timeout"] < 29
