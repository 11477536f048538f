"""Who may take a role, publish to the topic, and hold a token how long: as it is rendered, to the letter."""

from typing import Any

from tests.structure.parameter_choices import EVERYTHING
from tests.structure.rendered import deployed, of_type
from tools.ops import rotate

RESOURCES: dict[str, Any] = deployed(EVERYTHING)["Resources"]
SERVICES = {
    "AuthorizerRole": "lambda",
    "ProvidersRole": "lambda",
    "CompletionsRole": "lambda",
    "PreflightRole": "lambda",
    "HeartbeatRole": "lambda",
    "HeartbeatWorkflowRole": "states",
    "HeartbeatWorkflowEveryMinuteRole": "events",  # SAM's: the rule starts the workflow by it
    "DeploymentRole": "codedeploy",
    "LoggingRole": "apigateway",
}


def in_this_account(service: str, resource: str) -> dict[str, str]:
    return {"Fn::Sub": f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}"}


def granted(role: str, policy: str) -> list[tuple[str, Any, Any]]:
    """Effect, actions and resource of each statement of a role's policy."""
    [found] = [p for p in RESOURCES[role]["Properties"]["Policies"] if p["PolicyName"] == policy]
    return [(s["Effect"], s["Action"], s["Resource"]) for s in found["PolicyDocument"]["Statement"]]


def test_each_role_is_taken_by_one_service_of_aws_and_by_nobody_else() -> None:
    taken = {}
    for name, role in of_type("AWS::IAM::Role", RESOURCES).items():
        [statement] = role["AssumeRolePolicyDocument"]["Statement"]
        [(kind, service)] = statement["Principal"].items()
        assert (kind, statement["Effect"]) == ("Service", "Allow")
        assert statement["Action"] in ("sts:AssumeRole", ["sts:AssumeRole"])
        [taken[name]] = [service] if isinstance(service, str) else service

    assert taken == {name: f"{service}.amazonaws.com" for name, service in SERVICES.items()}


def test_the_alarms_of_this_account_publish_to_the_topic_and_nobody_else() -> None:
    [policy] = of_type("AWS::SNS::TopicPolicy", RESOURCES).values()
    [statement] = policy["PolicyDocument"]["Statement"]

    assert (statement["Principal"], statement["Action"]) == ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish")
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        "ArnLike": {"aws:SourceArn": in_this_account("cloudwatch", "alarm:*")},
    }


def test_tokens_are_as_long_as_those_that_a_rotation_makes() -> None:
    secrets = of_type("AWS::SecretsManager::Secret", RESOURCES).values()

    assert [secret["GenerateSecretString"]["PasswordLength"] for secret in secrets] == [rotate.TOKEN_LENGTH] * 2
    assert rotate.TOKEN_LENGTH * 5 > 128  # bits: a letter or a digit is nearly six


def test_a_revoked_token_is_dead_when_the_rotation_says_so() -> None:
    """The authorizer's memory of a minute, and API Gateway's cache."""
    [scheme] = RESOURCES["Api"]["Properties"]["Body"]["components"]["securitySchemes"].values()
    cached = scheme["x-amazon-apigateway-authorizer"]["authorizerResultTtlInSeconds"]

    assert 60 + cached == rotate.REVOKED_AFTER.total_seconds()


# What only AWS can prove: the local AWS has no CodeDeploy, no network interfaces and no access logs.


def test_a_gradual_deployment_may_look_at_alarms_and_move_aliases() -> None:
    assert granted("DeploymentRole", "deployment") == [
        ("Allow", "cloudwatch:DescribeAlarms", in_this_account("cloudwatch", "alarm:*")),
        (
            "Allow",
            ["lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"],
            in_this_account("lambda", "function:*"),
        ),
    ]


def test_api_gateways_logging_role_may_do_what_aws_asks_of_it() -> None:
    """docs.aws.amazon.com/apigateway: AmazonAPIGatewayPushToCloudWatchLogs, in this account."""
    written = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogGroups", "logs:DescribeLogStreams"]
    read = ["logs:PutLogEvents", "logs:GetLogEvents", "logs:FilterLogEvents"]

    assert granted("LoggingRole", "access-logs") == [("Allow", written + read, in_this_account("logs", "*"))]


def test_network_interfaces_are_lambdas_to_make_and_not_the_codes() -> None:
    """docs.aws.amazon.com/lambda, "Giving Lambda functions access to resources in a VPC"."""
    actions = [
        *("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
        *("ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
    ]
    for role in ("ProvidersRole", "CompletionsRole", "HeartbeatRole"):
        assert granted(role, "vpc") == [("Allow", actions, "*"), ("Deny", actions, "*")]
        policy = RESOURCES[role]["Properties"]["Policies"][-1]["PolicyDocument"]
        assert policy["Statement"][1]["Condition"] == {
            "ArnLike": {"lambda:SourceFunctionArn": in_this_account("lambda", "function:*")}
        }


def test_the_key_of_the_keys_is_used_and_administered_in_this_account_only() -> None:
    [key] = of_type("AWS::KMS::Key", RESOURCES).values()
    statements = {s["Sid"]: s for s in key["KeyPolicy"]["Statement"]}

    assert statements.keys() == {"AdministeredByTheAccount", "UsedByTheFunctions"}
    account = {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
    assert [s["Principal"] for s in statements.values()] == [account, account]
    assert statements["UsedByTheFunctions"]["Action"] == ["kms:Encrypt", "kms:Decrypt"]
    assert not {"kms:Encrypt", "kms:Decrypt"} & set(statements["AdministeredByTheAccount"]["Action"])


def test_a_domain_of_ones_own_speaks_tls_1_2_and_later() -> None:
    [domain] = of_type("AWS::ApiGateway::DomainName", RESOURCES).values()

    assert domain["SecurityPolicy"] == "TLS_1_2"
