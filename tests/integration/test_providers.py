import re

import httpx

from tests.integration.conftest import Register
from tests.local_system import LocalSystem
from tests.rehearsal import RunningTokenHub, wait_until
from tools.local import aws

CANARY = "tokenhub_CANARY0123456789"
# A scheduled heartbeat can come at any time, and changes these fields.
CHANGED_BY_HEARTBEATS = {
    "last_heartbeat_at",
    "last_heartbeat_latency_ms",
    "last_heartbeat_ttft_ms",
    "heartbeat_tokens_today",
}


def status(http: httpx.Client) -> tuple[str, str | None]:
    [provider] = http.get("/api/v1/providers").json()
    return provider["status"], provider["last_heartbeat_error"]


def test_new_provider_is_pending_then_healthy(http: httpx.Client, register: Register) -> None:
    response = register()

    assert response.status_code == 201
    assert response.json()["status"] == "pending"
    assert wait_until(lambda: status(http) == ("healthy", None), 60, every=0.25)


def test_repeated_registration_returns_200_and_keeps_health(
    http: httpx.Client, register: Register, tokenhub: RunningTokenHub
) -> None:
    register()
    assert wait_until(lambda: status(http)[0] == "healthy", 60, every=0.25)
    [before] = http.get("/api/v1/providers").json()

    again = register()

    [after] = http.get("/api/v1/providers").json()
    assert again.status_code == 200
    assert {field for field in before if after[field] != before[field]} <= CHANGED_BY_HEARTBEATS
    assert after["last_heartbeat_at"] >= before["last_heartbeat_at"]


def test_wrong_key_fails_with_advice(http: httpx.Client, register: Register, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("refuse_key")
    register()

    assert wait_until(lambda: status(http)[0] == "failed", 60, every=0.25)
    assert re.match(r"HTTP 401: invalid api key\. .*register", status(http)[1] or "")


def test_key_appears_in_no_response_table_or_log(http: httpx.Client, register: Register, system: LocalSystem) -> None:
    responses = [register(api_key=CANARY).text]
    assert wait_until(lambda: status(http)[0] == "healthy", 60, every=0.25)
    http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hello"}]})
    responses += [http.get("/api/v1/providers").text, http.get("/api/v1/providers/tokenhub").text]

    dynamodb, logs = aws.client("dynamodb", system.aws_url), aws.client("logs", system.aws_url)
    tables = dynamodb.list_tables()["TableNames"]
    items = [item for table in tables for item in dynamodb.scan(TableName=table)["Items"]]
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    lines = [event["message"] for group in groups for event in logs.filter_log_events(logGroupName=group)["events"]]
    assert items
    assert lines
    assert CANARY not in str([responses, items, lines, system.output])


def test_rejects_deletion_of_the_default_while_another_exists(http: httpx.Client, register: Register) -> None:
    register()
    register(id="second")

    refused = http.delete("/api/v1/providers/tokenhub")

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "default_provider_needed")
    assert http.delete("/api/v1/providers/second").status_code == 204


def test_rejects_new_origin_without_the_key(http: httpx.Client, register: Register) -> None:
    register()

    moved = http.post("/api/v1/providers", json={"id": "tokenhub", "endpoint": "http://localhost:1/v1"})

    assert (moved.status_code, moved.json()["error"]["code"]) == (409, "api_key_required")


def test_scheduled_heartbeats_run_in_the_workflow(http: httpx.Client, register: Register, system: LocalSystem) -> None:
    register()
    states = aws.client("stepfunctions", system.aws_url)
    [machine] = states.list_state_machines()["stateMachines"]

    def executions() -> list[str]:
        page = states.list_executions(stateMachineArn=machine["stateMachineArn"])
        return [execution["name"] for execution in page["executions"]]

    assert machine["type"] == "EXPRESS"
    # The first execution starts up to a minute after the rule is created.
    assert wait_until(executions, 80, every=1)


def test_rule_starts_the_workflow_every_minute(system: LocalSystem) -> None:
    [rule] = aws.client("events", system.aws_url).list_rules()["Rules"]

    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")


def test_local_platform_rejects_metadata_addresses(register: Register) -> None:
    refused = register(endpoint="http://169.254.169.254/v1")

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_endpoint")
