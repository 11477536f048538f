from typing import Any

import httpx
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.integration.conftest import Register
from tests.local_system import LocalSystem
from tests.rehearsal import RunningTokenHub, wait_until
from tools.local import aws

ONE = "/api/v1/providers/tokenhub"


def history(http: httpx.Client, **query: str | int) -> dict[str, Any]:
    answer = http.get(f"{ONE}/heartbeats", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_the_first_beat_appears_in_the_history(http: httpx.Client, register: Register) -> None:
    register()

    assert wait_until(lambda: history(http)["items"], 15, every=0.25)
    shown = history(http)
    assert (shown["uptime_24h"], shown["next"]) == (1, None)


def test_a_beat_now_answers_with_its_outcome_which_is_then_the_newest_of_the_history(
    http: httpx.Client, register: Register, tokenhub: RunningTokenHub
) -> None:
    register(heartbeat={"enabled": False})
    good = http.post(f"{ONE}/heartbeat")
    tokenhub.rehearse("refuse_key")

    failed = http.post(f"{ONE}/heartbeat", json={"looked": "at?"})

    assert (good.status_code, good.json()["status"]) == (200, "healthy")
    assert (failed.status_code, failed.json()["status"]) == (200, "failed")
    beats = [{**answer.json()} for answer in (failed, good)]
    assert [beat.pop("id") for beat in beats] == ["tokenhub", "tokenhub"]
    first = history(http, limit=1)
    assert [first["items"], history(http, limit=1, before=str(first["next"]))["items"]] == [[beats[0]], [beats[1]]]
    assert first["uptime_24h"] == 0.5
    [bucket] = history(http, bucket="24h")["items"]
    assert (bucket["beats"], bucket["good"]) == (2, 1)


def test_a_malformed_cursor_is_a_400_that_names_it(http: httpx.Client, register: Register) -> None:
    register(heartbeat={"enabled": False})

    refused = http.get(f"{ONE}/heartbeats", params={"before": "yesterday"})

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "before")


def test_a_deleted_provider_leaves_no_history_to_its_successor(http: httpx.Client, register: Register) -> None:
    register(heartbeat={"enabled": False})
    http.post(f"{ONE}/heartbeat")
    http.delete(ONE)
    register(heartbeat={"enabled": False})

    assert history(http)["items"] == []


def test_the_models_are_those_of_tokenhub_and_its_null_is_an_empty_list(
    http: httpx.Client, register: Register, tokenhub: RunningTokenHub
) -> None:
    register(heartbeat={"enabled": False})
    listed = httpx.get(f"{tokenhub.url}/v1/models").json()["data"]

    assert listed
    assert http.get(f"{ONE}/models").json() == {"models": listed}
    tokenhub.rehearse("no_models")
    assert http.get(f"{ONE}/models").json() == {"models": []}


def test_an_unreachable_provider_lists_no_models_and_says_why(http: httpx.Client, register: Register) -> None:
    register(endpoint="http://127.0.0.1:1/v1", heartbeat={"enabled": False})

    refused = http.get(f"{ONE}/models")

    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "provider_unreachable")


def test_an_unknown_provider_is_a_404_everywhere(http: httpx.Client) -> None:
    nobody = "/api/v1/providers/nobody"
    answers = [http.get(f"{nobody}/heartbeats"), http.get(f"{nobody}/models"), http.post(f"{nobody}/heartbeat")]

    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_the_document_leads_to_the_calls_that_it_describes(http: httpx.Client, system: LocalSystem) -> None:
    document = http.get("/api/v1/openapi.json").json()

    OpenAPIV31SpecValidator(document).validate()
    [server] = document["servers"]
    shown = http.get(httpx.URL(f"{system.url}/api/v1/openapi.json").join(server["url"]).join("health"))
    assert (shown.status_code, shown.json()) == (200, {"status": "ok"})


def test_the_client_token_reads_neither_the_history_nor_the_document(system: LocalSystem) -> None:
    token = {"Authorization": f"Bearer {system.token('client')}"}

    for path in (f"{ONE}/heartbeats", "/api/v1/openapi.json"):
        assert httpx.get(system.url + path, headers=token).status_code == 403


def test_the_provider_api_may_not_decrypt_a_key(system: LocalSystem) -> None:
    iam = aws.client("iam", system.aws_url)
    roles = [role["RoleName"] for role in iam.list_roles()["Roles"] if "ProvidersRole" in role["RoleName"]]
    policies = [iam.get_role_policy(RoleName=role, PolicyName="providers")["PolicyDocument"] for role in roles]

    assert policies
    assert "kms:Decrypt" not in str(policies)
