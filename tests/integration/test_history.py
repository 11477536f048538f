from typing import Any

import httpx

from tests.integration.conftest import Register
from tests.local_system import LocalSystem
from tests.rehearsal import RunningTokenHub, wait_until
from tools.local import aws

ONE = "/api/v1/providers/tokenhub"


def history(http: httpx.Client, **query: str | int) -> dict[str, Any]:
    response = http.get(f"{ONE}/heartbeats", params=query)
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_first_beat_appears_in_the_history(http: httpx.Client, register: Register) -> None:
    register()

    assert wait_until(lambda: history(http)["items"], 60, every=0.25)
    page = history(http)
    assert (page["uptime_24h"], page["next"]) == (1, None)


def test_beat_now_returns_the_newest_beat_of_the_history(
    http: httpx.Client, register: Register, tokenhub: RunningTokenHub
) -> None:
    register(heartbeat={"enabled": False})
    good = http.post(f"{ONE}/heartbeat")
    tokenhub.rehearse("refuse_key")

    failed = http.post(f"{ONE}/heartbeat", json={"ignored": True})

    assert (good.status_code, good.json()["status"]) == (200, "healthy")
    assert (failed.status_code, failed.json()["status"]) == (200, "failed")
    beats = [{**response.json()} for response in (failed, good)]
    assert [beat.pop("id") for beat in beats] == ["tokenhub", "tokenhub"]
    first = history(http, limit=1)
    assert [first["items"], history(http, limit=1, before=str(first["next"]))["items"]] == [[beats[0]], [beats[1]]]
    assert first["uptime_24h"] == 0.5
    # Midnight may have passed between the two.
    buckets = history(http, bucket="24h")["items"]
    assert [sum(bucket[field] for bucket in buckets) for field in ("beats", "good")] == [2, 1]


def test_a_new_outage_appears_as_an_incident_before_its_roll_up(
    http: httpx.Client, register: Register, tokenhub: RunningTokenHub
) -> None:
    register(heartbeat={"enabled": False})
    tokenhub.rehearse("refuse_key")
    failed = http.post(f"{ONE}/heartbeat").json()

    [incident] = http.get(f"{ONE}/incidents").json()["items"]

    assert (incident["begin"], incident["end"], incident["cause"]) == (failed["at"], None, failed["error"])


def test_rejects_a_malformed_cursor_by_name(http: httpx.Client, register: Register) -> None:
    register(heartbeat={"enabled": False})

    response = http.get(f"{ONE}/heartbeats", params={"before": "yesterday"})

    assert (response.status_code, response.json()["error"]["param"]) == (400, "before")


def test_hides_the_history_of_a_deleted_provider_of_the_same_id(http: httpx.Client, register: Register) -> None:
    register(heartbeat={"enabled": False})
    http.post(f"{ONE}/heartbeat")
    http.delete(ONE)
    register(heartbeat={"enabled": False})

    assert history(http)["items"] == []


def test_returns_tokenhubs_models_or_an_empty_list_for_null(
    http: httpx.Client, register: Register, tokenhub: RunningTokenHub
) -> None:
    register(heartbeat={"enabled": False})
    listed = httpx.get(f"{tokenhub.url}/v1/models").json()["data"]

    assert listed
    assert http.get(f"{ONE}/models").json() == {"models": listed}
    tokenhub.rehearse("no_models")
    assert http.get(f"{ONE}/models").json() == {"models": []}


def test_an_unreachable_provider_lists_no_models(http: httpx.Client, register: Register) -> None:
    register(endpoint="http://127.0.0.1:1/v1", heartbeat={"enabled": False})

    response = http.get(f"{ONE}/models")

    assert (response.status_code, response.json()["error"]["code"]) == (502, "provider_unreachable")


def test_an_unknown_provider_is_a_404_on_every_route(http: httpx.Client) -> None:
    unknown = "/api/v1/providers/nobody"
    responses = [http.get(f"{unknown}/{part}") for part in ("heartbeats", "uptime", "incidents", "models")]
    responses.append(http.post(f"{unknown}/heartbeat"))

    assert [response.status_code for response in responses] == [404] * 5


def test_the_openapi_servers_lead_to_the_api(http: httpx.Client, system: LocalSystem) -> None:
    document = http.get("/api/v1/openapi.json").json()

    [server] = document["servers"]
    response = http.get(httpx.URL(f"{system.url}/api/v1/openapi.json").join(server["url"]).join("health"))
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_the_client_token_may_not_read_history_or_openapi(system: LocalSystem) -> None:
    token = {"Authorization": f"Bearer {system.token('client')}"}

    for path in (f"{ONE}/heartbeats", f"{ONE}/uptime", f"{ONE}/incidents", "/api/v1/openapi.json"):
        assert httpx.get(system.url + path, headers=token).status_code == 403


def test_the_provider_api_may_not_decrypt_keys(system: LocalSystem) -> None:
    iam = aws.client("iam", system.aws_url)
    roles = [role["RoleName"] for role in iam.list_roles()["Roles"] if "ProvidersRole" in role["RoleName"]]
    policies = [iam.get_role_policy(RoleName=role, PolicyName="providers")["PolicyDocument"] for role in roles]

    assert policies
    assert "kms:Decrypt" not in str(policies)
