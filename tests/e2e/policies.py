"""Lists every grant (one action on one resource) of the template's roles, and removes single grants from a role."""

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

# A policy needs at least one statement. Every caller may do this without a permission.
EMPTY_STATEMENT = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}


@dataclass(frozen=True)
class Grant:
    """One action on one resource, with their names in the template.

    `place` is the position of the statement in the policy, then of the action and the resource in the statement.
    """

    role: str
    action: str
    resource: str
    policy: str
    place: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.role} {self.action} {self.resource}"


def grants() -> Iterator[Grant]:
    for role, properties in of_type("AWS::IAM::Role", deployed(LOCAL)["Resources"]).items():
        # SAM adds a role for the schedule, which may only start the workflow.
        if role not in template()["Resources"]:
            continue
        for policy in properties["Policies"]:
            for s, statement in enumerate(policy["PolicyDocument"]["Statement"]):
                for a, action in enumerate(as_list(statement["Action"])):
                    for r, resource in enumerate(as_list(statement["Resource"])):
                        yield Grant(role, action, _name(resource), policy["PolicyName"], (s, a, r))


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _name(resource: Any) -> str:
    """Returns the logical id in `!GetAtt Table.Arn` or `!Ref Function.Alias`, or else the resource as JSON."""
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
        """Removes one grant from its role and restores it at the end."""
        policy = {"RoleName": self._names[grant.role], "PolicyName": grant.policy}
        original = self._iam.get_role_policy(**policy)["PolicyDocument"]
        self._iam.put_role_policy(**policy, PolicyDocument=json.dumps(remove_grant(original, grant.place)))
        try:
            yield
        finally:
            self._iam.put_role_policy(**policy, PolicyDocument=json.dumps(original))


def remove_grant(document: dict[str, Any], place: tuple[int, int, int]) -> dict[str, Any]:
    """Splits each statement of a policy document into single grants and leaves out the one at `place`."""
    remaining = [
        statement | {"Action": action, "Resource": resource}
        for s, statement in enumerate(document["Statement"])
        for a, action in enumerate(as_list(statement["Action"]))
        for r, resource in enumerate(as_list(statement["Resource"]))
        if (s, a, r) != place
    ]
    return document | {"Statement": [*remaining, EMPTY_STATEMENT]}
