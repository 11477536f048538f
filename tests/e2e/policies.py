"""Every grant of every role in the template, one by one: an action on a resource. And roles that lack one of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.structure.parameter_choices import LOCAL
from tests.structure.rendered import deployed, of_type
from tests.template import template
from tools.local import aws
from tools.local.settings import STACK

# A policy must say something; this is open to everybody anyhow.
NOTHING = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}


@dataclass(frozen=True)
class Grant:
    """One action on one resource, by their names in the template, and where the statement is."""

    role: str
    action: str
    resource: str
    policy: str
    place: tuple[int, int, int]  # the statement, its action, its resource

    def __str__(self) -> str:
        return f"{self.role} {self.action} {self.resource}"


def grants() -> Iterator[Grant]:
    for role, found in of_type("AWS::IAM::Role", deployed(LOCAL)["Resources"]).items():
        if role not in template()["Resources"]:
            continue  # SAM's own for the schedule, which may start the workflow and nothing else
        for policy in found["Policies"]:
            for s, statement in enumerate(policy["PolicyDocument"]["Statement"]):
                for a, action in enumerate(as_list(statement["Action"])):
                    for r, resource in enumerate(as_list(statement["Resource"])):
                        yield Grant(role, action, _name(resource), policy["PolicyName"], (s, a, r))


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _name(resource: Any) -> str:
    """The logical id in `!GetAtt Table.Arn` and `!Ref Function.Alias`; else as it is written."""
    if isinstance(resource, dict) and len(resource) == 1:
        [argument] = resource.values()
        first = as_list(argument)[0]
        if isinstance(first, str) and ":" not in first:
            return first.partition(".")[0]
    return json.dumps(resource)


class Roles:
    """The deployed roles of one local system."""

    def __init__(self, aws_url: str) -> None:
        self._iam = aws.client("iam", aws_url)
        resources = aws.client("cloudformation", aws_url).describe_stack_resources(StackName=STACK)["StackResources"]
        self._names = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources}

    @contextmanager
    def without(self, grant: Grant) -> Iterator[None]:
        """The role has every other grant of its own, and not this one."""
        where = {"RoleName": self._names[grant.role], "PolicyName": grant.policy}
        whole = self._iam.get_role_policy(**where)["PolicyDocument"]
        self._iam.put_role_policy(**where, PolicyDocument=json.dumps(lacking(whole, grant.place)))
        try:
            yield
        finally:
            self._iam.put_role_policy(**where, PolicyDocument=json.dumps(whole))


def lacking(document: dict[str, Any], place: tuple[int, int, int]) -> dict[str, Any]:
    """The document with each statement split into single grants, and without the one at `place`."""
    kept = [
        statement | {"Action": action, "Resource": resource}
        for s, statement in enumerate(document["Statement"])
        for a, action in enumerate(as_list(statement["Action"]))
        for r, resource in enumerate(as_list(statement["Resource"]))
        if (s, a, r) != place
    ]
    return document | {"Statement": [*kept, NOTHING]}
