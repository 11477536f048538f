"""Trust in the rendered template: who may assume a role, publish to the topic, and use a token for how long."""

import string
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
    "StatusRole": "lambda",
    "HeartbeatRole": "lambda",
    "HeartbeatWorkflowRole": "states",
    # SAM creates this role, with which the schedule rule starts the workflow.
    "HeartbeatWorkflowEveryMinuteRole": "events",
    "DeploymentRole": "codedeploy",
    "LoggingRole": "apigateway",
}


def in_this_account(service: str, resource: str) -> dict[str, str]:
    return {"Fn::Sub": f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}"}


def granted(role: str, policy: str) -> list[tuple[str, Any, Any]]:
    """Effect, actions and resource of each statement of a role's policy."""
    [document] = [p["PolicyDocument"] for p in RESOURCES[role]["Properties"]["Policies"] if p["PolicyName"] == policy]
    return [(s["Effect"], s["Action"], s["Resource"]) for s in document["Statement"]]


def test_each_role_trusts_exactly_one_aws_service() -> None:
    trusted = {}
    for name, role in of_type("AWS::IAM::Role", RESOURCES).items():
        [statement] = role["AssumeRolePolicyDocument"]["Statement"]
        [(kind, service)] = statement["Principal"].items()
        assert (kind, statement["Effect"]) == ("Service", "Allow")
        assert statement["Action"] in ("sts:AssumeRole", ["sts:AssumeRole"])
        [trusted[name]] = [service] if isinstance(service, str) else service

    assert trusted == {name: f"{service}.amazonaws.com" for name, service in SERVICES.items()}


def test_only_alarms_of_this_account_publish_to_the_topic() -> None:
    [policy] = of_type("AWS::SNS::TopicPolicy", RESOURCES).values()
    [statement] = policy["PolicyDocument"]["Statement"]

    assert (statement["Principal"], statement["Action"]) == ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish")
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        "ArnLike": {"aws:SourceArn": in_this_account("cloudwatch", "alarm:*")},
    }


def test_generated_tokens_match_rotation_length() -> None:
    secrets = of_type("AWS::SecretsManager::Secret", RESOURCES).values()

    assert [secret["GenerateSecretString"]["PasswordLength"] for secret in secrets] == [rotate.TOKEN_LENGTH] * 2
    # A letter or a digit carries nearly six bits.
    assert rotate.TOKEN_LENGTH * 5 > 128


def test_generating_a_token_cannot_fail() -> None:
    """Secrets Manager rejects a required character type whose characters are all excluded."""
    for secret in of_type("AWS::SecretsManager::Secret", RESOURCES).values():
        generator = secret["GenerateSecretString"]
        assert set(generator["ExcludeCharacters"]) == set(string.punctuation)
        assert generator["RequireEachIncludedType"] is False


def test_revocation_time_matches_the_caches() -> None:
    """The authorizer caches tokens for 60 s, and API Gateway caches its policy."""
    schemes = RESOURCES["Api"]["Properties"]["Body"]["components"]["securitySchemes"].values()
    authorizers = [scheme["x-amazon-apigateway-authorizer"] for scheme in schemes]
    [cache_seconds] = {authorizer["authorizerResultTtlInSeconds"] for authorizer in authorizers}

    assert 60 + cache_seconds == rotate.REVOKED_AFTER.total_seconds()


# The local AWS cannot test these: it has no CodeDeploy, no network interfaces and no access logs.


def test_deployment_role_may_read_alarms_and_update_aliases() -> None:
    assert granted("DeploymentRole", "deployment") == [
        ("Allow", "cloudwatch:DescribeAlarms", in_this_account("cloudwatch", "alarm:*")),
        (
            "Allow",
            ["lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"],
            in_this_account("lambda", "function:*"),
        ),
    ]


def test_logging_role_has_the_required_permissions() -> None:
    """docs.aws.amazon.com/apigateway: AmazonAPIGatewayPushToCloudWatchLogs, in this account."""
    written = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogGroups", "logs:DescribeLogStreams"]
    read = ["logs:PutLogEvents", "logs:GetLogEvents", "logs:FilterLogEvents"]

    assert granted("LoggingRole", "access-logs") == [("Allow", written + read, in_this_account("logs", "*"))]


def test_only_lambda_itself_may_manage_network_interfaces() -> None:
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


def test_only_this_account_uses_and_administers_the_kms_key() -> None:
    [key] = of_type("AWS::KMS::Key", RESOURCES).values()
    statements = {s["Sid"]: s for s in key["KeyPolicy"]["Statement"]}

    assert statements.keys() == {"AdministeredByTheAccount", "UsedByTheFunctions"}
    account = {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
    assert [s["Principal"] for s in statements.values()] == [account, account]
    assert statements["UsedByTheFunctions"]["Action"] == ["kms:Encrypt", "kms:Decrypt"]
    assert not {"kms:Encrypt", "kms:Decrypt"} & set(statements["AdministeredByTheAccount"]["Action"])


def test_custom_domain_requires_tls_1_2() -> None:
    [domain] = of_type("AWS::ApiGateway::DomainName", RESOURCES).values()

    assert domain["SecurityPolicy"] == "TLS_1_2"
