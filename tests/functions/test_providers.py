import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.functions.conftest import Context, Load, event

ApiCall = Any


@pytest.fixture
def call(load: Load) -> ApiCall:
    app = load("providers")

    def handle(request: dict[str, Any]) -> tuple[int, Any, dict[str, Any]]:
        answer = app.handler(request, Context())
        body = json.loads(answer["body"]) if answer.get("body") else None
        return answer["statusCode"], body, answer.get("multiValueHeaders", {})

    return handle


def register(call: ApiCall, **changes: Any) -> tuple[int, Any]:
    body = json.loads(event("register")["body"]) | changes
    status, answer, _ = call(event("register", body=json.dumps({k: v for k, v in body.items() if v is not None})))
    return status, answer


def test_registers_a_provider_and_never_answers_its_key(call: ApiCall) -> None:
    status, provider, headers = call(event("register"))

    assert status == 201
    assert provider["id"] == "tokenhub"
    assert provider["status"] == "pending"
    assert provider["default"] is True
    assert "your-tokenhub-api-key" not in json.dumps(provider)
    assert headers["Location"] == ["providers/tokenhub"]


def test_registering_the_same_again_changes_nothing(call: ApiCall) -> None:
    _, first, _ = call(event("register"))
    status, second, _ = call(event("register"))

    assert status == 200
    assert second == first


def test_lists_providers_as_an_array_newest_first(call: ApiCall) -> None:
    assert call(event("list"))[1] == []
    register(call)
    register(call, id="second")

    assert [provider["id"] for provider in call(event("list"))[1]] == ["second", "tokenhub"]


BAD = {
    "not JSON": ("{", "not JSON"),
    "a list": ("[]", "not a JSON object"),
    "a list that holds a provider": (json.dumps([json.loads(event("register")["body"])]), "not a JSON object"),
    "a text": ('"provider"', "not a JSON object"),
    "null": ("null", "not a JSON object"),
    "nothing": ("", "not JSON"),
    "no id": ('{"endpoint": "http://localhost:8090/v1"}', "id is missing"),
    "no endpoint": ('{"id": "a"}', "endpoint is missing"),
    "an unknown field": ('{"id": "a", "endpoint": "http://localhost/v1", "modle": "x"}', "modle is not a field"),
    "an id with a slash": ('{"id": "a/b", "endpoint": "http://localhost/v1"}', "not a valid id"),
    "a long id": (json.dumps({"id": "a" * 300, "endpoint": "http://localhost/v1"}), "not a valid id"),
    "an id with a line break": ('{"id": "a\\n", "endpoint": "http://localhost/v1"}', "not a valid id"),
    "an endpoint that is not a URL": ('{"id": "a", "endpoint": "tokenhub"}', "needs a scheme"),
    "an endpoint that is a number": ('{"id": "a", "endpoint": 8090}', "endpoint is not valid"),
    "an unknown type": ('{"id": "a", "endpoint": "http://localhost/v1", "type": "x"}', "type is not valid"),
}


@pytest.mark.parametrize(("body", "says"), BAD.values(), ids=BAD.keys())
def test_rejects_invalid_input_without_any_change(call: ApiCall, body: str, says: str) -> None:
    status, answer, _ = call(event("register", body=body))

    assert status == 400
    assert set(answer["error"]) == {"message", "type", "code", "param"}
    assert says in answer["error"]["message"]
    assert call(event("list"))[1] == []


def test_never_answers_the_key_of_an_invalid_body(call: ApiCall) -> None:
    status, answer = register(call, api_key="secret key with spaces", type="nothing")

    assert status == 400
    assert "secret" not in json.dumps(answer)


def test_answers_404_for_an_unknown_provider(call: ApiCall) -> None:
    request = event("list", path="/api/v1/providers/nobody", resource="/api/v1/providers/{id}")

    status, answer, _ = call(request)

    assert (status, answer["error"]["code"]) == (404, "provider_not_found")


@pytest.mark.parametrize("odd", ["£", 'a"b', "a\nb", "a?b", "a\\b", "\x00"])
def test_answers_404_for_an_id_with_invalid_characters(call: ApiCall, odd: str) -> None:
    for suffix in ("", "/heartbeats", "/uptime", "/incidents"):
        path = f"/api/v1/providers/{odd}{suffix}"

        status, answer, _ = call(event("list", path=path, resource=f"/api/v1/providers/{{id}}{suffix}"))

        assert (status, answer["error"]["code"]) == (404, "provider_not_found")


CALLED = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/vnd.api+json", ""]


@pytest.mark.parametrize("content_type", CALLED)
def test_reads_json_whatever_the_content_type(call: ApiCall, content_type: str) -> None:
    status, provider, _ = call(event("register", headers={"Content-Type": content_type}))

    assert (status, provider["id"]) == (201, "tokenhub")


def test_accepts_max_tokens_as_a_float_without_a_fraction(call: ApiCall) -> None:
    _, provider = register(call, heartbeat={"max_tokens": 32.0})
    refused, _ = register(call, heartbeat={"max_tokens": 32.5})

    assert provider["heartbeat"]["max_tokens"] == 32
    assert refused == 400


def test_health_answers_ok_only(call: ApiCall) -> None:
    assert call(event("list", path="/health", resource="/health"))[:2] == (200, {"status": "ok"})


def test_lets_pages_of_an_allowed_origin_read_the_answers(call: ApiCall) -> None:
    _, _, headers = call(event("list", headers={"Origin": "https://chat.example.com"}))

    assert headers["access-control-allow-origin"] == ["https://chat.example.com"]


@pytest.mark.parametrize("provider_id", ["#registry", "a\r\nX-Evil: 1", "\x00", "\ufffd", "a/b"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_answers_404_for_an_id_that_no_provider_can_have(call: ApiCall, provider_id: str, method: str) -> None:
    path = f"/api/v1/providers/{provider_id}"

    status, body, _ = call(event("list", httpMethod=method, path=path, pathParameters={"id": provider_id}))

    assert (status, body["error"]["code"]) == (404, "provider_not_found")


@pytest.mark.parametrize("depth", [*range(100, 20_000, 900)])
def test_answers_400_for_deeply_nested_json(call: ApiCall, depth: int) -> None:
    body = '{"id": ' + "[" * depth + "]" * depth + "}"

    status, answer, _ = call(event("register", body=body))

    assert (status, answer["error"]["code"]) == (400, "invalid_request")


def test_does_not_cut_an_id_at_a_line_feed(call: ApiCall) -> None:
    register(call)
    one = event("list", resource="/api/v1/providers/{id}", path="/api/v1/providers/tokenhub\n")

    for method in ("GET", "DELETE"):
        status, answer, _ = call(one | {"httpMethod": method, "pathParameters": {"id": "tokenhub\n"}})
        assert (status, answer["error"]["code"]) == (404, "provider_not_found")
    assert [provider["id"] for provider in call(event("list"))[1]] == ["tokenhub"]


ONE = {"path": "/api/v1/providers/tokenhub", "resource": "/api/v1/providers/{id}"}
REQUESTS: list[tuple[dict[str, Any], int]] = [
    (event("register"), 201),
    (event("list"), 200),
    (event("list", **ONE), 404),
    (event("list", **ONE | {"path": "/api/v1/providers/tokenhub\n"}), 404),
    (event("list", **ONE | {"path": "/api/v1/providers/a b"}), 404),
    (event("register", body="{"), 400),
    (event("register", body="{}"), 400),
    (event("heartbeats", queryStringParameters={"limit": "0"}, multiValueQueryStringParameters={"limit": ["0"]}), 400),
    (event("list", path="/health", resource="/health"), 200),
]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """Returns the lines that the function logged. Lambda has one logger per process, tests have one per test."""
    monkeypatch.delitem(logging.Logger.manager.loggerDict, "providers", raising=False)
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def request_id(answer: dict[str, Any]) -> str:
    sent = {name: values[0] for name, values in answer.get("multiValueHeaders", {}).items()}
    return str((sent | answer.get("headers", {}))["X-Request-Id"])


@pytest.mark.parametrize(("request_", "status"), REQUESTS)
def test_logs_one_line_that_the_answers_request_id_finds(
    lines: Callable[[], list[dict[str, Any]]], load: Load, request_: dict[str, Any], status: int
) -> None:
    answer = load("providers").handler(request_, Context())

    assert answer["statusCode"] == status
    [line] = [line for line in lines() if line["message"] == "api request"]
    assert line["request_id"] == request_id(answer) == request_["requestContext"]["requestId"]
    assert (line["method"], line["route"]) == (request_["httpMethod"], request_["resource"])
    assert (line["level"], line["status"]) == ("INFO", status)
    assert line["duration_ms"] >= 0
    assert "your-tokenhub-api-key" not in json.dumps(line)


def test_answers_a_deletion_with_its_request_id(lines: Callable[[], list[dict[str, Any]]], load: Load) -> None:
    app = load("providers")
    app.handler(event("register"), Context())
    delete = event("list", httpMethod="DELETE", **ONE)
    delete["requestContext"]["requestId"] = "delete-1"

    answer = app.handler(delete, Context())

    assert (answer["statusCode"], request_id(answer)) == (204, "delete-1")
    [line] = [line for line in lines() if line["request_id"] == "delete-1"]
    assert (line["method"], line["route"], line["status"]) == ("DELETE", "/api/v1/providers/{id}", 204)


def test_logs_an_unforeseen_error_under_the_request_id_that_the_answer_quotes(
    lines: Callable[[], list[dict[str, Any]]], load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = load("providers")
    monkeypatch.setattr(app.providers, "all", lambda: 1 // 0)

    answer = app.handler(event("list"), Context())

    error, request = lines()
    assert (error["message"], error["level"], error["exception_name"]) == ("unforeseen", "ERROR", "ZeroDivisionError")
    assert error["request_id"] == request["request_id"] == request_id(answer) == "list-1"
    assert (request["message"], request["status"]) == ("api request", 500)
    assert "Quote request id list-1 " in json.loads(answer["body"])["error"]["message"]


def test_keeps_the_text_of_an_unforeseen_error_out_of_the_answer(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    app = load("providers")

    def fail() -> None:
        raise ZeroDivisionError("arn:aws:dynamodb:us-east-1:123456789012:table/providers")

    monkeypatch.setattr(app.providers, "all", fail)
    answer = app.handler(event("list"), Context())

    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (500, "internal_error")
    assert "arn:" not in answer["body"]
