"""Compares the OpenAPI document with the template, the errors and the real answers of the provider API."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.api.operations import BUCKET_WIDTH
from gateway.core import errors
from gateway.heartbeat.history import parse_bucket_width
from gateway.proxy.known_errors import all_known_errors
from tests.functions.conftest import Context, Load, event
from tests.lambda_service import LambdaService, serving
from tests.scripted_server import Cut, ScriptedServer, always
from tests.template import template

AT = "2026-01-02T03:04:05.678901Z"
BEAT = {"at": AT, "good": False, "latency_ms": 5, "ttft_ms": None, "error": "no", "model": None, "tokens": None}
METHODS = ("get", "head", "post", "put", "patch", "delete")


@pytest.fixture
def lambdas() -> Iterator[LambdaService]:
    with serving(LambdaService(lambda _: {"beat": BEAT, "models": [{"id": "echo"}]})) as service:
        yield service


@pytest.fixture
def app(load: Load, lambdas: LambdaService, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", lambdas.url)
    return load("providers")


@pytest.fixture
def document(app: Any) -> dict[str, Any]:
    answer = app.handler(event("openapi"), Context())
    assert answer["statusCode"] == 200
    return dict(json.loads(answer["body"]))


TOKENS = {
    "/ap": ["AdminToken"],
    "/v1": ["ClientToken", "AdminToken"],
    "/an": ["ClientApiKey", "AdminApiKey"],
    "/he": [],
    "/st": [],
    "/status/data": ["ClientToken", "AdminToken"],
}


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def deployed_routes() -> Iterator[tuple[str, str]]:
    """All routes of the template except preflights, which only browsers send."""
    for resource in template()["Resources"].values():
        for declared in resource.get("Properties", {}).get("Events", {}).values():
            if declared["Type"] == "Api" and declared["Properties"]["Method"] != "OPTIONS":
                # OpenAPI has no parameter of several segments.
                path = declared["Properties"]["Path"].replace("{model+}", "{model}")
                yield declared["Properties"]["Method"].lower(), path


def test_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_documents_exactly_the_deployed_routes(document: dict[str, Any]) -> None:
    assert set(operations(document)) == set(deployed_routes())


def test_every_operation_has_a_summary_and_its_tokens(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document).values()]
    for (method, path), operation in operations(document).items():
        assert re.fullmatch("[a-z_]+", operation["operationId"]), path
        assert operation["summary"] != f"{method.upper()} {path}"
        opened_by = [token for either in operation["security"] for token in either]
        assert opened_by == TOKENS.get(path, TOKENS[path[:3]])
    assert len(set(names)) == len(names)


def documented_codes(document: dict[str, Any]) -> set[str]:
    responses = [response for o in operations(document).values() for response in o["responses"].items()]
    return {code for status, response in responses for code in re.findall(r"`(\w+)`", response["description"])}


def every_code() -> set[str]:
    todo, found = [errors.GatewayError], set()
    while todo:
        error = todo.pop()
        todo += error.__subclasses__()
        if error not in (errors.ForwardingError, errors.ProviderError, errors.RelayedError):
            found.add(error.code)
    return found | {known.code for known in all_known_errors()}


def test_documents_every_error_code(document: dict[str, Any]) -> None:
    # Only preflights answer OriginNotAllowed, and the document has no OPTIONS.
    assert every_code() - {errors.OriginNotAllowed.code} <= documented_codes(document)


def test_documents_the_request_id_of_every_answer(document: dict[str, Any]) -> None:
    for operation in operations(document).values():
        assert all("X-Request-Id" in response["headers"] for response in operation["responses"].values())


def test_all_errors_have_the_same_schema(document: dict[str, Any]) -> None:
    for (method, _), operation in operations(document).items():
        assert "422" not in operation["responses"]
        for status, response in operation["responses"].items():
            if method == "head":
                assert "content" not in response
            elif status[0] in "45":
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorView"}
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert document["components"]["schemas"]["ErrorView"]["required"] == ["type", "error"]


def check(document: dict[str, Any], method: str, path: str, answer: dict[str, Any]) -> None:
    """Checks that the document has this answer."""
    responses, status = operations(document)[method, path]["responses"], str(answer["statusCode"])
    response = responses[status] if status in responses else responses[f"{status[0]}XX"]
    if not answer["body"]:
        assert "content" not in response
        return
    schema = response["content"]["application/json"]["schema"] | {"components": document["components"]}
    body = json.loads(answer["body"])
    Draft202012Validator(schema).validate(body)
    if answer["statusCode"] >= 400:
        assert f"`{body['error']['code']}`" in response["description"], (method, path)


ONE, MANY = "/api/v1/providers/{id}", "/api/v1/providers"
GOOD = {"path": f"{MANY}/tokenhub", "resource": ONE}
NOBODY = {"path": f"{MANY}/nobody", "resource": ONE}
CHANGED = {"headers": {"If-Match": '"another"'}}
BUCKETS = {"queryStringParameters": {"bucket": "1h"}, "multiValueQueryStringParameters": {"bucket": ["1h"]}}
OPERATIONS: list[tuple[str, str, dict[str, Any], int]] = [
    ("post", MANY, event("register"), 201),
    ("post", MANY, event("register"), 200),
    ("post", MANY, event("register", body="{}"), 400),
    ("get", MANY, event("list"), 200),
    ("get", ONE, event("list", **GOOD), 200),
    ("get", ONE, event("list", **NOBODY), 404),
    ("put", ONE, event("list", httpMethod="PUT", body='{"endpoint": "http://localhost:1/v1"}', **GOOD), 409),
    ("put", ONE, event("list", httpMethod="PUT", body='{"endpoint": "http://localhost:8090/v1"}', **GOOD), 200),
    ("put", ONE, event("list", httpMethod="PUT", body='{"endpoint": "http://localhost:8090/v1"}', **NOBODY), 404),
    ("patch", ONE, event("list", httpMethod="PATCH", body='{"name": "other"}', **GOOD), 200),
    ("patch", ONE, event("list", httpMethod="PATCH", body='{"name": null}', **GOOD), 400),
    ("patch", ONE, event("unmute"), 200),
    ("patch", ONE, event("list", httpMethod="PATCH", body="{}", **(GOOD | CHANGED)), 412),
    ("delete", ONE, event("list", httpMethod="DELETE", **(GOOD | CHANGED)), 412),
    ("get", f"{ONE}/heartbeats", event("heartbeats"), 200),
    ("get", f"{ONE}/heartbeats", event("heartbeats", **BUCKETS), 200),
    ("get", f"{ONE}/uptime", event("uptime"), 200),
    ("get", f"{ONE}/incidents", event("incidents"), 200),
    ("post", f"{ONE}/heartbeat", event("beat_now"), 200),
    ("get", f"{ONE}/models", event("provider_models"), 200),
    ("get", "/api/v1/openapi.json", event("openapi"), 200),
    ("get", "/health", event("list", path="/health", resource="/health"), 200),
    ("head", "/health", event("list", httpMethod="HEAD", path="/health", resource="/health"), 200),
    ("delete", ONE, event("list", httpMethod="DELETE", **NOBODY), 404),
    ("delete", ONE, event("list", httpMethod="DELETE", **GOOD), 204),
]


def test_every_route_matches_the_document(app: Any, document: dict[str, Any]) -> None:
    for method, path, request, status in OPERATIONS:
        answer = app.handler(request, Context())

        assert answer["statusCode"] == status, (method, path, answer["body"])
        check(document, method, path, answer)
    called = {(method, path) for method, path, _, _ in OPERATIONS}
    assert called == {
        (method, path)
        for method, path in operations(document)
        if not path.startswith(("/v1/", "/anthropic/", "/status"))
    }


def test_a_history_with_heartbeats_matches_the_document(app: Any, document: dict[str, Any], load: Load) -> None:
    app.handler(event("register"), Context())
    load("heartbeat").handler({"provider_id": "tokenhub", "now": True}, Context())

    for request in (event("heartbeats"), event("heartbeats", **BUCKETS)):
        answer = app.handler(request, Context())
        assert json.loads(answer["body"])["items"]
        check(document, "get", f"{ONE}/heartbeats", answer)
    for name, items in (("uptime", "days"), ("incidents", "items")):
        answer = app.handler(event(name), Context())
        assert json.loads(answer["body"])[items]
        check(document, "get", f"{ONE}/{name}", answer)


def test_documents_a_failure_of_the_heartbeat_function(
    app: Any, document: dict[str, Any], lambdas: LambdaService
) -> None:
    app.handler(event("register"), Context())
    lambdas.handler = lambda asked: asked["nothing"]

    for method, path, name in [("post", f"{ONE}/heartbeat", "beat_now"), ("get", f"{ONE}/models", "provider_models")]:
        answer = app.handler(event(name), Context())
        assert answer["statusCode"] == 502
        check(document, method, path, answer)


@pytest.mark.parametrize(
    "status", [201, 202, 203, 204, 206, 226, 304, 307, 400, 401, 404, 418, 429, 500, 502, 503, 600]
)
def test_documents_every_error_of_a_model_list(
    app: Any, document: dict[str, Any], lambdas: LambdaService, load: Load, status: int
) -> None:
    lambdas.handler = lambda asked: load("heartbeat").handler(asked, Context())
    head = f"HTTP/1.1 {status} Odd\r\ncontent-length: 0\r\n\r\n".encode()
    with ScriptedServer(always(head, Cut.CLOSE)) as provider:
        body = json.loads(event("register")["body"]) | {"endpoint": provider.url}
        app.handler(event("register", body=json.dumps(body)), Context())
        answer = app.handler(event("provider_models"), Context())

    assert answer["statusCode"] >= 400
    check(document, "get", f"{ONE}/models", answer)


def test_describes_the_if_match_header(document: dict[str, Any]) -> None:
    changing = operations(document)["patch", ONE]["parameters"]
    header = next(parameter for parameter in changing if parameter["in"] == "header")

    assert header["name"] == "If-Match"
    assert header["description"].startswith("The ETag")
    for sent in ("*", '"a"', 'W/"a", "b"'):
        assert re.search(header["schema"]["pattern"], sent)
    assert not re.search(header["schema"]["pattern"], "a")


@given(st.integers(0, 20_000), st.sampled_from("mhd"))
def test_documents_the_bucket_widths_that_the_history_accepts(number: int, unit: str) -> None:
    bucket = f"{number}{unit}"
    try:
        taken = bool(parse_bucket_width(bucket))
    except errors.InvalidRequest:
        taken = False

    assert bool(re.search(BUCKET_WIDTH, bucket)) == taken


def test_documents_fallback_errors_at_every_status(document: dict[str, Any]) -> None:
    answers = operations(document)["post", "/v1/chat"]["responses"]

    # A web page in front of TokenHub may answer any status.
    for status in ("400", "401", "403", "413", "429", "4XX"):
        assert "`provider_bad_request`" in answers[status]["description"]
    for status in ("500", "502", "503", "504", "5XX"):
        assert "`provider_error`" in answers[status]["description"]
    # A 404 always has other codes.
    assert "`provider_bad_request`" not in answers["404"]["description"]


def test_builds_the_document_once(app: Any) -> None:
    app.handler(event("openapi"), Context())
    app.handler(event("openapi"), Context())

    assert app.openapi_document.cache_info().misses == 1


def test_no_parameter_is_nullable(document: dict[str, Any]) -> None:
    parameters = operations(document)["get", f"{ONE}/heartbeats"]["parameters"]

    assert [parameter["name"] for parameter in parameters] == ["id", "limit", "before", "bucket"]
    assert "null" not in json.dumps(parameters)
