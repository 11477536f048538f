"""Who may take a role, publish to the topic, and hold a token how long: as it is rendered, to the letter."""

from typing import Any

from local import rotate
from tests.structure.parameter_choices import EVERYTHING
from tests.structure.rendered import deployed, of_type

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
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


def test_tokens_are_as_long_as_those_that_a_rotation_makes() -> None:
    secrets = of_type("AWS::SecretsManager::Secret", RESOURCES).values()

    assert [secret["GenerateSecretString"]["PasswordLength"] for secret in secrets] == [rotate.LENGTH] * 2
    assert rotate.LENGTH * 5 > 128  # bits: a letter or a digit is nearly six


def test_a_revoked_token_is_dead_when_the_rotation_says_so() -> None:
    """The authorizer's memory of a minute, and API Gateway's cache."""
    [scheme] = RESOURCES["Api"]["Properties"]["Body"]["components"]["securitySchemes"].values()
    cached = scheme["x-amazon-apigateway-authorizer"]["authorizerResultTtlInSeconds"]

    assert 60 + cached == rotate.DEAD_AFTER.total_seconds()
