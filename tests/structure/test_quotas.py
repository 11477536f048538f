"""Fixed quotas of AWS that the rendered template must not exceed, whatever the stack's name and region."""

import json
from typing import Any

import pytest

from tests.structure.parameter_choices import EVERYTHING
from tests.structure.rendered import deployed, of_type

RESOURCES: dict[str, Any] = deployed(EVERYTHING)["Resources"]
PERMISSIONS: list[dict[str, Any]] = list(of_type("AWS::Lambda::Permission", RESOURCES).values())
ALIASES = sorted({permission["FunctionName"]["Ref"] for permission in PERMISSIONS})

# The resource-based policy of a function: docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html.
MAX_POLICY_BYTES = 20 * 1024
# docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html.
MAX_RESOURCES = 500
# The longest names that AWS accepts.
MAX_LENGTH_NAMES = {"${AWS::Region}": "ap-southeast-2", "${AWS::AccountId}": "1" * 12, "${__ApiId__}": "a" * 10}
FUNCTION_ARN = f"arn:aws:lambda:ap-southeast-2:{'1' * 12}:function:{'f' * 64}:live"
STATEMENT_ID = "s" * 100


def statement(permission: dict[str, Any]) -> dict[str, Any]:
    """The statement that Lambda adds to the function's policy for a permission, with the longest names."""
    template, variables = permission["SourceArn"]["Fn::Sub"]
    source = template.replace("${__Stage__}", variables.get("__Stage__", ""))
    for name, value in MAX_LENGTH_NAMES.items():
        source = source.replace(name, value)
    assert "${" not in source
    return {
        "Sid": STATEMENT_ID,
        "Effect": "Allow",
        "Principal": {"Service": permission["Principal"]},
        "Action": permission["Action"],
        "Resource": FUNCTION_ARN,
        "Condition": {"ArnLike": {"AWS:SourceArn": source}},
    }


@pytest.mark.parametrize("alias", ALIASES)
def test_permissions_of_a_function_fit_into_its_policy(alias: str) -> None:
    """Each route adds a statement, and the preflight function has a route for each path."""
    statements = [statement(each) for each in PERMISSIONS if each["FunctionName"]["Ref"] == alias]
    policy = {"Version": "2012-10-17", "Id": "default", "Statement": statements}

    assert len(json.dumps(policy, separators=(",", ":"))) < MAX_POLICY_BYTES


def test_stack_has_fewer_resources_than_cloudformation_allows() -> None:
    assert len(RESOURCES) < MAX_RESOURCES
