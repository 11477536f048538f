import json
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


def test_registering_answers_201_with_the_provider_and_never_its_key(call: ApiCall) -> None:
    status, provider, headers = call(event("register"))

    assert status == 201
    assert provider["id"] == "tokenhub"
    assert provider["status"] == "pending"
    assert provider["default"] is True
    assert "your-tokenhub-api-key" not in json.dumps(provider)
    assert headers["Location"] == ["providers/tokenhub"]


def test_registering_the_same_again_answers_200_and_changes_nothing(call: ApiCall) -> None:
    _, first, _ = call(event("register"))
    status, second, _ = call(event("register"))

    assert status == 200
    assert second == first


def test_the_list_is_a_bare_array_newest_first(call: ApiCall) -> None:
    assert call(event("list"))[1] == []
    register(call)
    register(call, id="second")

    assert [provider["id"] for provider in call(event("list"))[1]] == ["second", "tokenhub"]


BAD = {
    "not JSON": ("{", "not JSON"),
    "a list": ("[]", "no object"),
    "a list that holds a provider": (json.dumps([json.loads(event("register")["body"])]), "no object"),
    "a text": ('"provider"', "no object"),
    "null": ("null", "no object"),
    "nothing": ("", "not JSON"),
    "no id": ('{"endpoint": "http://localhost:8090/v1"}', "id is missing"),
    "no endpoint": ('{"id": "a"}', "endpoint is missing"),
    "an unknown field": ('{"id": "a", "endpoint": "http://localhost/v1", "modle": "x"}', "modle is not a field"),
    "an id with a slash": ('{"id": "a/b", "endpoint": "http://localhost/v1"}', "no valid id"),
    "a long id": (json.dumps({"id": "a" * 300, "endpoint": "http://localhost/v1"}), "no valid id"),
    "an id with a line break": ('{"id": "a\\n", "endpoint": "http://localhost/v1"}', "no valid id"),
    "an endpoint that is no URL": ('{"id": "a", "endpoint": "tokenhub"}', "needs a scheme"),
    "an endpoint that is a number": ('{"id": "a", "endpoint": 8090}', "endpoint is not valid"),
    "an unknown type": ('{"id": "a", "endpoint": "http://localhost/v1", "type": "x"}', "type is not valid"),
}


@pytest.mark.parametrize(("body", "says"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_a_400_that_says_what_to_do_and_changes_nothing(call: ApiCall, body: str, says: str) -> None:
    status, answer, _ = call(event("register", body=body))

    assert status == 400
    assert set(answer["error"]) == {"message", "type", "code", "param"}
    assert says in answer["error"]["message"]
    assert call(event("list"))[1] == []


def test_a_bad_body_never_shows_its_key(call: ApiCall) -> None:
    status, answer = register(call, api_key="secret key with spaces", type="nothing")

    assert status == 400
    assert "secret" not in json.dumps(answer)


def test_an_unknown_provider_is_a_404(call: ApiCall) -> None:
    request = event("list", path="/api/v1/providers/nobody", resource="/api/v1/providers/{id}")

    status, answer, _ = call(request)

    assert (status, answer["error"]["code"]) == (404, "provider_not_found")


@pytest.mark.parametrize("odd", ["£", 'a"b', "a\nb", "a?b", "a\\b", "\x00"])
def test_an_id_of_characters_that_no_id_has_is_a_404(call: ApiCall, odd: str) -> None:
    for suffix in ("", "/heartbeats"):
        path = f"/api/v1/providers/{odd}{suffix}"

        status, answer, _ = call(event("list", path=path, resource=f"/api/v1/providers/{{id}}{suffix}"))

        assert (status, answer["error"]["code"]) == (404, "provider_not_found")


CALLED = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/vnd.api+json", ""]


@pytest.mark.parametrize("content_type", CALLED)
def test_a_body_is_json_whatever_its_content_type_says(call: ApiCall, content_type: str) -> None:
    status, provider, _ = call(event("register", headers={"Content-Type": content_type}))

    assert (status, provider["id"]) == (201, "tokenhub")


def test_max_tokens_may_be_written_as_a_float_that_is_whole(call: ApiCall) -> None:
    _, provider = register(call, heartbeat={"max_tokens": 32.0})
    refused, _ = register(call, heartbeat={"max_tokens": 32.5})

    assert provider["heartbeat"]["max_tokens"] == 32
    assert refused == 400


def test_health_says_ok_and_nothing_else(call: ApiCall) -> None:
    assert call(event("list", path="/health", resource="/health"))[:2] == (200, {"status": "ok"})


def test_a_page_of_an_allowed_origin_may_read_the_answers(call: ApiCall) -> None:
    _, _, headers = call(event("list", headers={"Origin": "https://chat.example.com"}))

    assert headers["access-control-allow-origin"] == ["https://chat.example.com"]


@pytest.mark.parametrize("provider_id", ["#registry", "a\r\nX-Evil: 1", "\x00", "\ufffd", "a/b"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_id_of_odd_characters_is_a_404(call: ApiCall, provider_id: str, method: str) -> None:
    path = f"/api/v1/providers/{provider_id}"

    status, body, _ = call(event("list", httpMethod=method, path=path, pathParameters={"id": provider_id}))

    assert (status, body["error"]["code"]) == (404, "provider_not_found")


@pytest.mark.parametrize("depth", [*range(100, 20_000, 900)])
def test_deep_json_is_a_400_wherever_it_becomes_too_deep(call: ApiCall, depth: int) -> None:
    body = '{"id": ' + "[" * depth + "]" * depth + "}"

    status, answer, _ = call(event("register", body=body))

    assert (status, answer["error"]["code"]) == (400, "invalid_request")


def test_an_id_is_not_cut_at_a_line_feed(call: ApiCall) -> None:
    register(call)
    one = event("list", resource="/api/v1/providers/{id}", path="/api/v1/providers/tokenhub\n")

    for method in ("GET", "DELETE"):
        status, answer, _ = call(one | {"httpMethod": method, "pathParameters": {"id": "tokenhub\n"}})
        assert (status, answer["error"]["code"]) == (404, "provider_not_found")
    assert [provider["id"] for provider in call(event("list"))[1]] == ["tokenhub"]


def test_what_an_unforeseen_error_says_stays_in_the_log(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    app = load("providers")

    def fail() -> None:
        raise ZeroDivisionError("arn:aws:dynamodb:us-east-1:123456789012:table/providers")

    monkeypatch.setattr(app.providers, "all", fail)
    answer = app.handler(event("list"), Context())

    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (500, "internal_error")
    assert "arn:" not in answer["body"]
