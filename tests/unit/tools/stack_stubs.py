"""CloudFormation and CloudWatch Logs of a stack named `gateway`, as botocore's stubs."""

from typing import Any

import boto3
from botocore.stub import Stubber


class StackStubs:
    """boto3 clients that answer only the calls that `stubs` expects, in order. The stack has these log groups."""

    def __init__(self, *groups: str) -> None:
        """`groups` are logical ids. The name of each log group is `group-` and its logical id."""
        credentials = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "eu-west-1"}
        self.cloudformation: Any = boto3.client("cloudformation", **credentials)  # type: ignore[call-overload]
        self.logs: Any = boto3.client("logs", **credentials)  # type: ignore[call-overload]
        self.stubs = Stubber(self.cloudformation), Stubber(self.logs)
        resource = {"ResourceType": "AWS::Logs::LogGroup", "ResourceStatus": "CREATE_COMPLETE"}
        summaries = [
            resource | {"LogicalResourceId": name, "PhysicalResourceId": f"group-{name}", "LastUpdatedTimestamp": 1}
            for name in groups
        ]
        function = {"LogicalResourceId": "CompletionsFunction", "ResourceType": "AWS::Lambda::Function"}
        self.stubs[0].add_response(
            "list_stack_resources",
            {"StackResourceSummaries": [*summaries, summaries[0] | function]},
            {"StackName": "gateway"},
        )
        for stub in self.stubs:
            stub.activate()
