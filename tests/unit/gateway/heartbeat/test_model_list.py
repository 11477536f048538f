import json
from typing import Any

import pytest

from gateway.core.errors import DeadlineExceeded, ModelListUnusable, ProviderError, ProviderUnreachable
from gateway.heartbeat.model_list import MAX_BODY_BYTES, list_models
from gateway.proxy.upstream import Target, Upstream
from tests.rehearsal import RunningTokenHub
from tests.scripted_server import JSON, ScriptedServer, always, response

# No pattern of the redactor matches this key.
KEY = "a-key-of-no-shape-0123456789"

ONE_BYTE_AT_A_TIME: list[bytes | float] = [b" ", 0.05] * 200


def list_from(upstream: Upstream, url: str, **options: Any) -> list[Any]:
    return list_models(upstream, Target("main", url, key=KEY), **options)


def list_from_answer(upstream: Upstream, *body: bytes | float, status: int = 200, seconds: float = 30) -> list[Any]:
    with ScriptedServer(always(*response(body, status, JSON))) as provider:
        return list_from(upstream, provider.url, seconds=seconds)


def test_returns_tokenhubs_list_unchanged(upstream: Upstream, tokenhub: RunningTokenHub) -> None:
    models = list_from(upstream, f"{tokenhub.url}/v1")

    assert all(set(model) == {"id", "object", "owned_by"} for model in models)
    assert models
    [request] = tokenhub.requests
    assert (request.method, request.path) == ("GET", "/v1/models")
    assert request.headers["authorization"] == f"Bearer {KEY}"


def test_null_becomes_an_empty_list(upstream: Upstream, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("no_models")

    assert list_from(upstream, f"{tokenhub.url}/v1") == []


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"data": {}}', b'{"data": "x"}', b"null", b"[" * 9000]
)
def test_rejects_an_answer_that_is_not_a_list(upstream: Upstream, body: bytes) -> None:
    with pytest.raises(ModelListUnusable, match="is not a list of models"):
        list_from_answer(upstream, body)


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206, 226])
@pytest.mark.parametrize("body", [b"", b'{"data": []}', b"<html>"])
def test_rejects_other_2xx_statuses(upstream: Upstream, status: int, body: bytes) -> None:
    with pytest.raises(ModelListUnusable, match=f"HTTP {status}") as raised:
        list_from_answer(upstream, body if status != 204 else b"", status=status)

    assert (raised.value.status, raised.value.code) == (502, "model_list_unusable")


def test_rejects_a_list_over_5_mb(upstream: Upstream) -> None:
    with pytest.raises(ModelListUnusable, match="larger than 5 MB"):
        list_from_answer(upstream, b'{"data": ["', b"x" * MAX_BODY_BYTES, b'"]}')


def test_accepts_a_list_just_under_5_mb(upstream: Upstream) -> None:
    body = json.dumps({"data": ["x" * (MAX_BODY_BYTES - 100)]}).encode()

    assert len(list_from_answer(upstream, body)[0]) == MAX_BODY_BYTES - 100


def test_an_error_keeps_its_status_without_the_key(upstream: Upstream) -> None:
    with pytest.raises(ProviderError) as raised:
        list_from_answer(upstream, f"invalid api key {KEY}".encode(), status=401)

    assert (raised.value.status, raised.value.code) == (401, "provider_key_refused")
    assert KEY not in raised.value.message


def test_an_unreachable_provider_raises(upstream: Upstream) -> None:
    with pytest.raises(ProviderUnreachable):
        list_from(upstream, "http://127.0.0.1:1/v1")


def test_a_slow_list_hits_the_deadline(upstream: Upstream) -> None:
    with pytest.raises(DeadlineExceeded, match="did not list its models within 1 s"):
        list_from_answer(upstream, *ONE_BYTE_AT_A_TIME, seconds=1)


def test_redacts_only_the_key(upstream: Upstream) -> None:
    models = [{"id": "tokenhub_fast", KEY: [f"Bearer {KEY}", 1, None]}, KEY]

    redacted = list_from_answer(upstream, json.dumps({"data": models}).encode())

    assert redacted == [{"id": "tokenhub_fast", "[redacted]": ["Bearer [redacted]", 1, None]}, "[redacted]"]
