"""The reading side of the provider API, with the heartbeat function behind a Lambda service on loopback."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Aws
from tests.functions.conftest import Context, Load, event
from tests.lambda_service import LambdaService, serving
from tests.rehearsal import KEY, RunningTokenHub

ApiCall = Any


@pytest.fixture
def lambdas(monkeypatch: pytest.MonkeyPatch) -> Iterator[LambdaService]:
    """A Lambda service without a working heartbeat function: the first beat of a registration fails."""
    with serving(LambdaService(lambda event: event["nothing"])) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", service.url)
        yield service


@pytest.fixture
def call(load: Load, lambdas: LambdaService, tokenhub: RunningTokenHub) -> ApiCall:
    """Calls the provider API. `tokenhub` is registered without a beat, and the heartbeat function works."""
    app = load("providers")

    def handle(name: str, **changes: Any) -> tuple[int, Any]:
        answer = app.handler(event(name, **changes), Context())
        return answer["statusCode"], json.loads(answer["body"] or "null")

    body = json.loads(event("register")["body"]) | {"endpoint": f"{tokenhub.url}/v1", "model": "gpt-4o"}
    assert handle("register", body=json.dumps(body))[0] == 201
    heartbeat = load("heartbeat")
    lambdas.handler = lambda event: heartbeat.handler(event, Context())
    return handle


def query(**parameters: Any) -> dict[str, Any]:
    values = {name: str(value) for name, value in parameters.items()}
    multiple = {name: [value] for name, value in values.items()}
    return {"queryStringParameters": values, "multiValueQueryStringParameters": multiple}


def test_beat_now_returns_its_outcome_and_adds_it_to_the_history(call: ApiCall) -> None:
    status, beat = call("beat_now")

    assert status == 200
    assert set(beat) == {"id", "at", "status", "latency_ms", "ttft_ms", "error", "model", "tokens"}
    assert (beat["id"], beat["status"], beat["error"]) == ("tokenhub", "healthy", None)
    history = call("heartbeats")[1]
    assert history["items"] == [{name: value for name, value in beat.items() if name != "id"}]
    assert (history["next"], history["uptime_24h"], history["beats_24h"], history["good_24h"]) == (None, 1, 1, 1)


def test_beat_now_answers_200_for_a_failed_provider(call: ApiCall, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("refuse_key")

    status, beat = call("beat_now")

    assert (status, beat["status"]) == (200, "failed")
    assert "401" in beat["error"]
    assert call("heartbeats")[1]["uptime_24h"] == 0


def test_beat_now_ignores_the_body(call: ApiCall) -> None:
    for body in (None, "", "{", "[]", '{"model": 1}'):
        assert call("beat_now", body=body)[0] == 200, body


def test_beat_now_beats_a_disabled_provider(call: ApiCall) -> None:
    body = json.loads(event("register")["body"])
    call("register", body=json.dumps(body | {"heartbeat": {"enabled": False}}))

    assert call("beat_now")[1]["at"] == call("heartbeats")[1]["items"][0]["at"]


def test_a_failing_heartbeat_function_is_a_502(call: ApiCall, lambdas: LambdaService) -> None:
    lambdas.handler = lambda event: event["nothing"]

    for name in ("beat_now", "provider_models"):
        status, answer = call(name)

        assert (status, answer["error"]["code"]) == (502, "heartbeat_failed")
        assert set(answer["error"]) == {"message", "type", "code", "param"}


UNKNOWN_PROVIDER = "/api/v1/providers/nobody"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("beat_now", "/heartbeat"),
        ("heartbeats", "/heartbeats"),
        ("uptime", "/uptime"),
        ("incidents", "/incidents"),
        ("provider_models", "/models"),
    ],
)
def test_an_unknown_provider_is_a_404_without_an_invocation(
    call: ApiCall, lambdas: LambdaService, name: str, path: str
) -> None:
    invocations = len(lambdas.events)

    status, answer = call(name, path=UNKNOWN_PROVIDER + path)

    assert (status, answer["error"]["code"]) == (404, "provider_not_found")
    assert len(lambdas.events) == invocations


def test_the_heartbeat_function_relays_a_404_for_a_deleted_provider(load: Load) -> None:
    beat = load("heartbeat").handler

    for flag in ("now", "models"):
        error = beat({"provider_id": "nobody", flag: True}, Context())["error"]
        assert (error["status"], error["code"], error["param"]) == (404, "provider_not_found", "id")


def test_pages_link_to_the_next_until_the_last(call: ApiCall) -> None:
    beats = [call("beat_now")[1]["at"] for _ in range(3)]

    first = call("heartbeats")[1]
    second = call("heartbeats", **query(limit=2, before=first["next"]))[1]

    assert [item["at"] for item in first["items"] + second["items"]] == beats[::-1]
    assert second["next"] is None
    assert first["beats_24h"] == second["beats_24h"] == 3


def test_buckets_have_counts_and_latency(call: ApiCall) -> None:
    beat = call("beat_now")[1]

    status, history = call("heartbeats", **query(bucket="24h"))

    [bucket] = history["items"]
    latency = beat["latency_ms"]
    assert status == 200
    assert bucket == {
        "from": f"{beat['at'][:10]}T00:00:00.000000Z",
        "beats": 1,
        "good": 1,
        "latency_ms": {"min": latency, "mean": latency, "max": latency},
    }
    assert (history["next"], history["uptime_24h"]) == (None, 1)


MALFORMED = [
    ("limit", "0"),
    ("limit", "501"),
    ("limit", "many"),
    ("limit", ""),
    ("before", "yesterday"),
    ("before", ""),
    ("bucket", "30s"),
    ("bucket", ""),
]


def test_rejects_malformed_parameters_by_name(call: ApiCall) -> None:
    for name, value in MALFORMED:
        status, answer = call("heartbeats", **query(**{name: value}))

        assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "invalid_request", name), value
        assert answer["error"]["message"].startswith(f"{name} is not valid")


@pytest.mark.parametrize("name", ["limit", "before", "bucket"])
def test_rejects_a_repeated_parameter_by_name(call: ApiCall, name: str) -> None:
    repeated = {"queryStringParameters": {name: "2"}, "multiValueQueryStringParameters": {name: ["1", "2"]}}

    status, answer = call("heartbeats", **repeated)

    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "invalid_request", name)
    assert answer["error"]["message"] == f"{name} is in the query more than once. Send it once."


def test_all_parameters_are_optional(call: ApiCall) -> None:
    status, history = call("heartbeats", queryStringParameters=None, multiValueQueryStringParameters=None)

    assert (status, history["items"], history["uptime_24h"], history["beats_24h"]) == (200, [], None, 0)


def test_hides_the_history_of_a_deleted_provider_of_the_same_id(call: ApiCall) -> None:
    call("beat_now")
    providers_path = {"path": "/api/v1/providers/tokenhub", "resource": "/api/v1/providers/{id}"}
    assert call("list", httpMethod="DELETE", **providers_path) == (204, None)
    call("register", body=json.dumps(json.loads(event("register")["body"]) | {"heartbeat": {"enabled": False}}))

    assert call("heartbeats")[1]["items"] == []


def test_returns_tokenhubs_models(call: ApiCall, tokenhub: RunningTokenHub) -> None:
    status, answer = call("provider_models")

    assert status == 200
    assert "gpt-4o" in [model["id"] for model in answer["models"]]
    assert tokenhub.requests[-1].headers["authorization"] == f"Bearer {KEY}"


def test_null_becomes_an_empty_list(call: ApiCall, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("no_models")

    assert call("provider_models") == (200, {"models": []})


def test_relays_a_providers_error_with_its_status_and_code(call: ApiCall, tokenhub: RunningTokenHub) -> None:
    body = json.loads(event("register")["body"]) | {"endpoint": f"{tokenhub.url}/nothing"}
    call("register", body=json.dumps(body))

    status, answer = call("provider_models")

    assert (status, answer["error"]["code"]) == (404, "provider_path_unknown")
    assert set(answer["error"]) == {"message", "type", "code", "param"}


def test_no_answer_and_no_history_contains_the_key(call: ApiCall, tokenhub: RunningTokenHub, aws: Aws) -> None:
    tokenhub.rehearse("refuse_key")
    answers = [call(name) for name in ("beat_now", "heartbeats", "provider_models")]

    assert KEY not in str([answers, aws.heartbeats.scan()["Items"]])
