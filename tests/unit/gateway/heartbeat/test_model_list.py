import json
from typing import Any

import pytest

from gateway.core.errors import DeadlineExceeded, ModelListUnusable, ProviderError, ProviderUnreachable
from gateway.heartbeat.model_list import MAX_BODY_BYTES, list_models
from gateway.proxy.upstream import Target, Upstream
from tests.raw_upstream import JSON, RawUpstream, Script
from tests.rehearsal import RunningTokenHub

KEY = "a-key-of-no-shape-0123456789"  # so that only who is told of it can take it out

DRIPPING: list[bytes | float] = [b" ", 0.05] * 40


def listed(upstream: Upstream, url: str, **more: Any) -> list[Any]:
    return list_models(upstream, Target("main", url, key=KEY), **more)


def answered(upstream: Upstream, *body: bytes | float, status: int = 200) -> list[Any]:
    with RawUpstream(lambda _: Script(body, headers=JSON, status=status)) as provider:
        return listed(upstream, provider.url, seconds=1)


def test_the_list_is_tokenhubs_as_it_is(upstream: Upstream, tokenhub: RunningTokenHub) -> None:
    models = listed(upstream, f"{tokenhub.url}/v1")

    assert all(set(model) == {"id", "object", "owned_by"} for model in models)
    assert models
    [request] = tokenhub.requests
    assert (request.method, request.path) == ("GET", "/v1/models")
    assert request.headers["authorization"] == f"Bearer {KEY}"


def test_tokenhubs_null_is_an_empty_list(upstream: Upstream, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("no_models")

    assert listed(upstream, f"{tokenhub.url}/v1") == []


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"data": {}}', b'{"data": "x"}', b"null", b"[" * 9000]
)
def test_what_is_no_list_is_refused_in_words(upstream: Upstream, body: bytes) -> None:
    with pytest.raises(ModelListUnusable, match="no list of models"):
        answered(upstream, body)


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206, 226])
@pytest.mark.parametrize("body", [b"", b'{"data": []}', b"<html>"])
def test_an_answer_that_is_neither_a_200_nor_a_refusal_is_a_502(upstream: Upstream, status: int, body: bytes) -> None:
    with pytest.raises(ModelListUnusable, match=f"HTTP {status}") as refused:
        answered(upstream, body if status != 204 else b"", status=status)

    assert (refused.value.status, refused.value.code) == (502, "model_list_unusable")


def test_a_list_of_over_5_mb_is_refused_in_words(upstream: Upstream) -> None:
    with pytest.raises(ModelListUnusable, match="larger than 5 MB"):
        answered(upstream, b'{"data": ["', b"x" * MAX_BODY_BYTES, b'"]}')


def test_a_list_of_just_under_5_mb_is_taken(upstream: Upstream) -> None:
    body = json.dumps({"data": ["x" * (MAX_BODY_BYTES - 100)]}).encode()

    assert len(answered(upstream, body)[0]) == MAX_BODY_BYTES - 100


def test_a_refusal_keeps_its_status_and_loses_the_key(upstream: Upstream) -> None:
    with pytest.raises(ProviderError) as refused:
        answered(upstream, f"invalid api key {KEY}".encode(), status=401)

    assert (refused.value.status, refused.value.code) == (401, "provider_key_refused")
    assert KEY not in refused.value.message


def test_a_provider_that_is_not_there_is_unreachable(upstream: Upstream) -> None:
    with pytest.raises(ProviderUnreachable):
        listed(upstream, "http://127.0.0.1:1/v1")


def test_a_list_that_comes_a_byte_at_a_time_has_a_deadline(upstream: Upstream) -> None:
    with pytest.raises(DeadlineExceeded, match="not listed its models after 1 s"):
        answered(upstream, *DRIPPING)


def test_a_key_that_the_list_repeats_is_taken_out_and_nothing_else(upstream: Upstream) -> None:
    models = [{"id": "tokenhub_fast", KEY: [f"Bearer {KEY}", 1, None]}, KEY]

    shown = answered(upstream, json.dumps({"data": models}).encode())

    assert shown == [{"id": "tokenhub_fast", "[redacted]": ["Bearer [redacted]", 1, None]}, "[redacted]"]
