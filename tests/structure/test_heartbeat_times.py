"""How long a heartbeat may take: each limit ends before the one around it, which would end it without a word."""

from typing import Any

from gateway.heartbeat import check, client, ticker
from tests.template import template

RESOURCES = template()["Resources"]
BRANCHES = RESOURCES["HeartbeatWorkflow"]["Properties"]["Definition"]["States"]["TwoBeats"]["Branches"]
APIS_LIMIT_S = 29  # of a buffered method, AWS


def of_type(kind: str) -> list[dict[str, Any]]:
    return [state for branch in BRANCHES for state in branch["States"].values() if state["Type"] == kind]


def test_each_limit_ends_before_the_one_around_it() -> None:
    lambdas = template()["Globals"]["Function"]["Timeout"]
    assert "Timeout" not in RESOURCES["HeartbeatFunction"]["Properties"]
    [workflows] = {task["TimeoutSeconds"] for task in of_type("Task")}

    limits = [
        check.TIMEOUT_SECONDS,
        ticker.TIMEOUT_SECONDS,
        ticker.TIMEOUT_SECONDS + ticker.MIN_SIDE_EFFECT_SECONDS,
        workflows,
        lambdas,
    ]
    assert limits == sorted(set(limits))
    assert (check.TIMEOUT_SECONDS, ticker.TIMEOUT_SECONDS, workflows) == (20, 23, 25)
    assert check.TIMEOUT_SECONDS < client.TIMEOUT_SECONDS < APIS_LIMIT_S


def test_the_second_beat_comes_30_seconds_after_the_first_however_long_that_takes() -> None:
    assert [state["Seconds"] for state in of_type("Wait")] == [30]
    assert [task["Parameters"]["offset_seconds"] for task in of_type("Task")] == [0, 30]
    assert [branch["StartAt"] for branch in BRANCHES] == ["Beat", "Wait30Seconds"]


def test_a_beat_that_fails_takes_no_other_with_it() -> None:
    for branch in BRANCHES:
        for task in (state for state in branch["States"].values() if state["Type"] == "Task"):
            [catch] = task["Catch"]
            assert catch["ErrorEquals"] == ["States.ALL"]
            assert branch["States"][catch["Next"]] == {"Type": "Pass", "End": True}
