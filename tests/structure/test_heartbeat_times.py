"""Heartbeat time limits: each inner limit ends before the outer one, which would end the heartbeat without an error."""

from typing import Any

from gateway.heartbeat import check, client, ticker
from tests.structure.rendered import of_type as resources_of_type
from tests.structure.rendered import render
from tests.template import template

RESOURCES = template()["Resources"]
BRANCHES = RESOURCES["HeartbeatWorkflow"]["Properties"]["Definition"]["States"]["TwoHeartbeats"]["Branches"]
# AWS: the integration timeout of a buffered method.
API_TIMEOUT_S = 29


def of_type(kind: str) -> list[dict[str, Any]]:
    return [state for branch in BRANCHES for state in branch["States"].values() if state["Type"] == kind]


def test_each_limit_ends_before_the_outer_limit() -> None:
    lambda_timeout = template()["Globals"]["Function"]["Timeout"]
    assert "Timeout" not in RESOURCES["HeartbeatFunction"]["Properties"]
    [task_timeout] = {task["TimeoutSeconds"] for task in of_type("Task")}

    limits = [
        check.TIMEOUT_SECONDS,
        ticker.TIMEOUT_SECONDS,
        ticker.TIMEOUT_SECONDS + ticker.MIN_SIDE_EFFECT_SECONDS,
        task_timeout,
        lambda_timeout,
    ]
    assert limits == sorted(set(limits))
    assert (check.TIMEOUT_SECONDS, ticker.TIMEOUT_SECONDS, task_timeout) == (20, 23, 25)
    assert check.TIMEOUT_SECONDS < client.TIMEOUT_SECONDS < API_TIMEOUT_S


def test_second_heartbeat_starts_30_seconds_after_the_first() -> None:
    assert [state["Seconds"] for state in of_type("Wait")] == [30]
    assert [task["Parameters"]["offset_seconds"] for task in of_type("Task")] == [0, 30]
    assert [branch["StartAt"] for branch in BRANCHES] == ["FirstHeartbeat", "Wait30Seconds"]


def test_state_names_are_unique_across_branches() -> None:
    """Step Functions rejects the definition otherwise (DUPLICATE_STATE_NAME); the local AWS and cfn-lint do not."""
    names = ["TwoHeartbeats", *(name for branch in BRANCHES for name in branch["States"])]

    assert len(set(names)) == len(names)


def test_failed_heartbeat_does_not_end_the_other_branch() -> None:
    for branch in BRANCHES:
        for task in (state for state in branch["States"].values() if state["Type"] == "Task"):
            [catch] = task["Catch"]
            assert catch["ErrorEquals"] == ["States.ALL"]
            assert branch["States"][catch["Next"]] == {"Type": "Pass", "End": True}


def test_lambda_never_repeats_a_first_heartbeat() -> None:
    resources = render()["Resources"]
    [(name, config)] = resources_of_type("AWS::Lambda::EventInvokeConfig", resources).items()
    [alias] = (resources[each] for each in resources[name]["DependsOn"])

    # Without the alias as its qualifier, the configuration does not apply to the invocations of the provider API.
    assert (config["FunctionName"], config["Qualifier"]) == ({"Ref": "HeartbeatFunction"}, "live")
    assert (alias["Type"], alias["Properties"]["Name"]) == ("AWS::Lambda::Alias", "live")
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (0, 60)


def test_late_ticks_do_not_start_together_after_an_outage() -> None:
    [rule] = resources_of_type("AWS::Events::Rule", render()["Resources"]).values()
    [target] = rule["Targets"]

    assert rule["ScheduleExpression"] == "rate(1 minute)"
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 60}
