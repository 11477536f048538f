"""PUT and PATCH through the handler: every status and header."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.functions.conftest import Load
from tests.functions.provider_api import ENDPOINT, Api

KEY = "tokenhub_secret"


@pytest.fixture
def api(load: Load) -> Api:
    return Api(load("providers"))


def test_put_answers_the_changed_provider(api: Api) -> None:
    api.post(model="echo", description="old", api_key=KEY)

    answer = api("PUT", "main", {"endpoint": ENDPOINT, "name": "Main"})

    assert answer.status == 200
    assert answer.body == api("GET", "main").body
    assert (answer.body["name"], answer.body["model"], answer.body["description"]) == ("Main", None, "")
    assert (answer.body["requires_key"], answer.body["default"]) == (True, True)
    assert KEY not in json.dumps(answer.body)


def test_put_never_creates_a_provider(api: Api) -> None:
    assert api("PUT", "main", {"endpoint": ENDPOINT}).error == (404, "provider_not_found", "id")
    assert api("GET").body == []


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_rejects_a_body_with_another_id_than_the_path(api: Api, method: str) -> None:
    api.post()
    api.post("other")

    same = api(method, "main", {"id": "main", "endpoint": ENDPOINT})
    another = api(method, "main", {"id": "other", "endpoint": ENDPOINT, "name": "usurper"})

    assert same.status == 200
    assert another.error == (400, "invalid_request", "id")
    assert "Leave it out" in another.body["error"]["message"]
    assert [provider["name"] for provider in api("GET").body] == ["other", "main"]


def test_patch_changes_only_the_fields_that_it_has(api: Api) -> None:
    before = api.post(model="echo", description="old", api_key=KEY, heartbeat={"model": "small", "max_tokens": 5}).body

    after = api("PATCH", "main", {"name": "Main", "heartbeat": {"enabled": False}})

    assert after.status == 200
    changed = {name for name in before if before[name] != after.body[name]}
    assert changed == {"name", "heartbeat", "updated_at"}
    assert after.body["heartbeat"] == {"enabled": False, "model": "small", "max_tokens": 5}


def test_patch_removes_a_model_by_null_and_a_key_by_empty_text(api: Api) -> None:
    api.post(model="echo", api_key=KEY, heartbeat={"model": "small", "max_tokens": 5})

    after = api("PATCH", "main", {"model": None, "api_key": "", "heartbeat": {"model": None}}).body

    assert (after["model"], after["requires_key"], after["key_fingerprint"]) == (None, False, None)
    assert after["heartbeat"] == {"enabled": True, "model": None, "max_tokens": 5}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_null_removes_the_limit_of_heartbeat_tokens(api: Api, method: str) -> None:
    before = api.post(heartbeat={"max_tokens": 5}).body
    path, body = ("", {"id": "main", "endpoint": ENDPOINT}) if method == "POST" else ("main", {"endpoint": ENDPOINT})

    changed = api(method, path, body | {"heartbeat": {"max_tokens": None}}).body
    kept = api("PATCH", "main", {"heartbeat": {"enabled": False}}).body

    assert (before["heartbeat"]["max_tokens"], changed["heartbeat"]["max_tokens"]) == (5, None)
    assert kept["heartbeat"] == {"enabled": False, "model": None, "max_tokens": None}


def test_a_patch_mutes_and_null_ends_the_mute(api: Api) -> None:
    api.post()
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)

    muted = api("PATCH", "main", {"muted_until": until.isoformat()})
    ended = api("PATCH", "main", {"muted_until": None})

    assert (muted.status, datetime.fromisoformat(muted.body["muted_until"])) == (200, until)
    assert (ended.status, ended.body["muted_until"]) == (200, None)
    assert muted.etag != ended.etag


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ("tomorrow", "muted_until is not valid: send a time with its zone, such as 2026-01-02T05:00:00Z."),
        ("2020-01-01T00:00:00Z", "muted_until is in the past. Send a later time, or null to end the mute."),
        ("2099-01-01T00:00:00Z", "muted_until is more than 30 days ahead. Send an earlier time, and extend it later."),
    ],
)
def test_rejects_an_invalid_mute(api: Api, until: str, message: str) -> None:
    api.post()

    refused = api("PATCH", "main", {"muted_until": until})

    assert refused.error == (400, "invalid_request", "muted_until")
    assert refused.body["error"]["message"] == message


def test_an_empty_patch_changes_nothing(api: Api) -> None:
    before = api.post()

    after = api("PATCH", "main", {})

    assert (after.status, after.body, after.etag) == (200, before.body, before.etag)


PLAIN = ("endpoint", "name", "type", "api_key", "description", "default", "heartbeat")
NULLS = {name: {name: None} for name in PLAIN} | {"heartbeat.enabled": {"heartbeat": {"enabled": None}}}


@pytest.mark.parametrize(("param", "changes"), NULLS.items(), ids=NULLS.keys())
def test_rejects_null_except_for_models_and_max_tokens(api: Api, param: str, changes: dict[str, Any]) -> None:
    api.post()

    answer = api("PATCH", "main", changes)

    assert answer.error == (400, "invalid_request", param)
    assert answer.body["error"]["message"] == f"{param} cannot be null; leave it out to keep the stored value."


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_rejects_unknown_fields_without_any_change(api: Api, method: str) -> None:
    api.post()

    answer = api(method, "main", {"endpoint": ENDPOINT, "description": "new", "modle": "x"})

    assert answer.error == (400, "invalid_request", "modle")
    assert api("GET", "main").body["description"] == ""


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("body", [None, [], "x", [{"endpoint": ENDPOINT}]])
def test_rejects_a_body_that_is_not_an_object(api: Api, method: str, body: Any) -> None:
    api.post()

    assert api(method, "main", body).error == (400, "invalid_request", None)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_changes_follow_the_rules_of_registration(api: Api, method: str) -> None:
    api.post(api_key=KEY)

    def change(**fields: Any) -> tuple[int, str, str | None]:
        return api(method, "main", {"endpoint": ENDPOINT} | fields).error

    assert change(endpoint="http://localhost:1/v1") == (409, "api_key_required", "api_key")
    assert change(endpoint="tokenhub") == (400, "invalid_endpoint", "endpoint")
    assert change(endpoint="http://169.254.169.254/v1") == (400, "invalid_endpoint", "endpoint")
    assert change(default=False) == (409, "default_provider_needed", "default")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_answers_404_for_an_unknown_provider(api: Api, method: str) -> None:
    assert api(method, "nobody", {"endpoint": ENDPOINT}).error == (404, "provider_not_found", "id")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_starts_a_heartbeat_only_if_endpoint_key_or_model_changed(api: Api, method: str) -> None:
    api.post(api_key=KEY)
    assert api.beaten == ["main"]

    api(method, "main", {"endpoint": ENDPOINT, "api_key": KEY, "name": "Main", "heartbeat": {"max_tokens": 5}})
    assert api.beaten == ["main"]

    api(method, "main", {"endpoint": ENDPOINT, "name": "Main", "model": "echo"})
    assert api.beaten == ["main", "main"]


def test_starts_no_heartbeat_if_heartbeats_are_disabled(api: Api) -> None:
    api.post(heartbeat={"enabled": False})
    api("PATCH", "main", {"model": "echo"})
    assert api.beaten == []

    api("PATCH", "main", {"model": "other", "heartbeat": {"enabled": True}})
    assert api.beaten == ["main"]


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("base", ["http://localhost:8080", "https://x.example/prod", "https://own.example/some/base"])
def test_location_works_under_a_stage(api: Api, base: str, slash: str) -> None:
    created = api("POST", slash, {"id": "main", "endpoint": ENDPOINT})

    assert created.status == 201
    assert urljoin(f"{base}/api/v1/providers{slash}", created.headers["Location"]) == f"{base}/api/v1/providers/main"
