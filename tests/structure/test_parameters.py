"""The template under other parameters than its defaults. Much of that only AWS can deploy: here it is linted."""

import json
import re
from collections import Counter
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint

from tests.structure.parameter_choices import ACCESS_LOGS, DOMAIN, LOCAL, RESERVED, VPC, Choice, pairwise
from tests.structure.rendered import deployed, of_type, render
from tests.template import template

PARAMETERS: dict[str, dict[str, Any]] = template()["Parameters"]
FUNCTIONS = ("AuthorizerFunction", "ProvidersFunction", "CompletionsFunction", "PreflightFunction", "HeartbeatFunction")
USED_WHILE_RENDERING = ["W2001", "W7001"]  # parameters and mappings that only conditions or SAM look at
CHOICES = [*pairwise(), LOCAL]


def resources(choice: Choice) -> dict[str, Any]:
    return dict(deployed(choice)["Resources"])


def functions(choice: Choice) -> dict[str, dict[str, Any]]:
    return of_type("AWS::Lambda::Function", resources(choice))


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: ",".join(choice) or "defaults")
def test_what_cloudformation_would_deploy_has_nothing_to_complain_about(choice: Choice) -> None:
    options = ManualArgs(regions=["us-east-1"], ignore_checks=USED_WHILE_RENDERING)
    made = deployed(choice)
    for name, value in choice.items():
        made["Parameters"][name]["Default"] = value
    for resource in made["Resources"].values():
        resource.get("Metadata", {}).pop("cfn-lint", None)  # what is ignored before SAM splits a resource counts here

    assert [str(found) for found in lint(json.dumps(made), config=options)] == []


@pytest.mark.parametrize("name", PARAMETERS)
def test_each_parameter_says_what_it_is_and_has_a_default_that_is_allowed(name: str) -> None:
    declared = PARAMETERS[name]
    default = str(declared["Default"])

    assert declared["Description"].endswith(".")
    assert {"AllowedValues", "AllowedPattern", "MinValue"} & declared.keys()
    assert default in map(str, declared.get("AllowedValues", [default]))
    assert re.fullmatch(declared.get("AllowedPattern", ".*"), default)
    if "MinValue" in declared:
        assert declared["MinValue"] <= int(default) <= declared["MaxValue"]


NO_TIME = ["0", "0.0", "00.5", "-1", "5s", "999999", ".5"]  # in which nobody answers
WRONG = {
    "VpcSubnetIds": ["subnet-1", "sg-0123456789abcdef0", "subnet-01234567,", "subnet-01234567, subnet-01234568"],
    "VpcSecurityGroupIds": ["subnet-01234567", "sg-"],
    "DomainName": ["https://llm.example.com", "llm", "llm.example.com/v1", "LLM.example.com"],
    "CertificateArn": ["certificate/1", "arn:aws:iam::123456789012:role/a"],
    "HostedZoneId": ["example.com", "/hostedzone/Z1"],
    "ConnectSeconds": NO_TIME,
    "FirstByteSeconds": NO_TIME,
    "StreamIdleSeconds": NO_TIME,
    "WholeSeconds": NO_TIME,
    "KeepAliveSeconds": ["-1", "15s", "999999"],
    "AwsEndpointUrl": ["127.0.0.1:4566", "http://127.0.0.1:4566/", "http://", "ftp://aws", "http://a b"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_value_of_another_shape_is_refused_before_anything_is_deployed(name: str, value: str) -> None:
    assert not re.fullmatch(PARAMETERS[name]["AllowedPattern"], value)


@pytest.mark.parametrize(
    ("name", "value"), [("WholeSeconds", "0.4"), ("ConnectSeconds", "5"), ("KeepAliveSeconds", "0")]
)
def test_seconds_may_have_a_fraction_and_comments_may_be_off(name: str, value: str) -> None:
    assert re.fullmatch(PARAMETERS[name]["AllowedPattern"], value)


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: ",".join(choice) or "defaults")
def test_what_is_tried_here_is_allowed(choice: Choice) -> None:
    for name, value in choice.items():
        assert re.fullmatch(PARAMETERS[name].get("AllowedPattern", ".*"), value)
        assert value in map(str, PARAMETERS[name].get("AllowedValues", [value]))


def test_each_parameter_stands_in_one_group() -> None:
    groups = template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

    assert Counter(name for group in groups for name in group["Parameters"]) == Counter(list(PARAMETERS))


def test_with_a_vpc_all_that_handles_keys_of_providers_runs_in_it() -> None:
    assert {name for name, f in functions(VPC).items() if "VpcConfig" in f} == {
        "ProvidersFunction",
        "CompletionsFunction",
        "HeartbeatFunction",
    }
    assert not [name for name, function in functions({}).items() if "VpcConfig" in function]


def test_only_with_a_vpc_and_only_there_roles_may_make_network_interfaces() -> None:
    def may(choice: Choice) -> set[str]:
        roles = of_type("AWS::IAM::Role", resources(choice))
        return {name for name, role in roles.items() if "ec2:CreateNetworkInterface" in json.dumps(role)}

    assert may(VPC) == {"ProvidersRole", "CompletionsRole", "HeartbeatRole"}
    assert may({}) == set()


def test_concurrency_is_reserved_only_when_asked_for() -> None:
    asked = {name: f.get("ReservedConcurrentExecutions") for name, f in functions(RESERVED).items()}

    assert asked == {
        "AuthorizerFunction": {"Ref": "AuthorizerConcurrency"},
        "ProvidersFunction": None,
        "PreflightFunction": None,
        "CompletionsFunction": {"Ref": "CompletionsConcurrency"},
        "HeartbeatFunction": {"Ref": "HeartbeatConcurrency"},
    }
    assert not [name for name, function in functions({}).items() if "ReservedConcurrentExecutions" in function]


def test_each_class_of_function_has_memory_of_its_own() -> None:
    assert {name: function["MemorySize"]["Ref"] for name, function in functions({}).items()} == {
        "AuthorizerFunction": "ApiMemory",
        "ProvidersFunction": "ApiMemory",
        "PreflightFunction": "ApiMemory",
        "CompletionsFunction": "CompletionsMemory",
        "HeartbeatFunction": "HeartbeatMemory",
    }


def test_snapshots_are_of_published_versions_and_off_by_default() -> None:
    snapshots = {"ApplyOn": "PublishedVersions"}

    assert [function["SnapStart"] for function in functions({"SnapStart": "on"}).values()] == [snapshots] * 5
    assert not [name for name, function in functions({}).items() if "SnapStart" in function]


def test_a_domain_leads_to_the_stage_and_the_outputs_name_it() -> None:
    made = deployed(DOMAIN)

    assert made["Resources"]["DomainPath"]["Properties"]["Stage"] == {"Ref": "ApiprodStage"}
    assert made["Outputs"]["Url"]["Value"] == {"Fn::Sub": "https://${DomainName}"}
    assert not of_type("AWS::Route53::RecordSet", made["Resources"])
    assert not of_type("AWS::ApiGateway::DomainName", resources({}))


@pytest.mark.parametrize("choice", ACCESS_LOGS, ids=["off", "existing", "create"])
def test_access_logs_are_json_without_a_token_or_a_query_string(choice: Choice) -> None:
    made = resources(choice)
    setting = made["ApiprodStage"]["Properties"].get("AccessLogSetting")

    assert (setting is not None) == bool(choice)
    assert ("ApiGatewayAccount" in made) == (choice.get("AccessLogs") == "create")
    if setting:
        used = set(re.findall(r"\$context\.([\w.]+)", setting["Format"]))
        assert set(json.loads(setting["Format"]).values()) == {f"$context.{name}" for name in used}
        assert not [name for name in used if re.search(r"path$|querystring|header|authoriz.*token|body", name)]


def test_the_accounts_logging_role_is_set_once_the_api_is_there() -> None:
    """AWS sets none in an account without an API; and the stage must not begin to log before."""
    made = resources({"AccessLogs": "create"})

    assert made["ApiGatewayAccount"]["DependsOn"] == "Api"
    assert {"Ref": "ApiGatewayAccount"} in [tag["Value"] for tag in made["AccessLogGroup"]["Properties"]["Tags"]]


def test_the_accounts_logging_role_outlives_the_stack_that_set_it() -> None:
    made = resources({"AccessLogs": "create"})

    assert {made[name]["DeletionPolicy"] for name in ("ApiGatewayAccount", "LoggingRole")} == {"Retain"}


def test_a_gradual_deployment_goes_back_when_the_function_fails() -> None:
    made = resources({"Deployment": "Canary10Percent5Minutes"})
    groups = of_type("AWS::CodeDeploy::DeploymentGroup", made)

    assert len(groups) == len(FUNCTIONS)
    for name, group in groups.items():
        [alarm] = group["AlarmConfiguration"]["Alarms"]
        watched = made[alarm["Name"]["Ref"]]["Properties"]
        function = name.removesuffix("DeploymentGroup")
        if function == "AuthorizerFunction":  # whose errors are wrong tokens too
            assert watched["MetricName"] == "AuthorizerFailures"
        else:
            live = [{"Ref": function}, {"Fn::Sub": f"${{{function}}}:live"}]
            assert [dimension["Value"] for dimension in watched["Dimensions"]] == live
        assert "UpdatePolicy" in made[f"{function}Aliaslive"]


def test_a_new_heartbeat_is_taken_back_by_fewer_failures_than_there_are_beats_in_a_minute() -> None:
    """The workflow that begins each minute calls it twice, and catches what fails instead of trying again."""
    alarm = resources({"Deployment": "Canary10Percent5Minutes"})["NewHeartbeatFails"]["Properties"]
    workflow = template()["Resources"]["HeartbeatWorkflow"]["Properties"]
    beats = json.dumps(workflow["Definition"]).count("HeartbeatFunction")

    assert (alarm["Statistic"], alarm["Period"], alarm["ComparisonOperator"]) == ("Sum", 60, "GreaterThanThreshold")
    assert alarm["Threshold"] + 1 < beats


def test_every_gradual_deployment_that_is_offered_is_known_to_sam() -> None:
    gradual = template()["Mappings"]["Gradual"]

    assert set(gradual) == set(PARAMETERS["Deployment"]["AllowedValues"])
    assert [name for name, row in gradual.items() if row["Enabled"] != "true"] == ["AllAtOnce"]


def test_by_default_nothing_is_deployed_that_the_local_aws_does_not_know() -> None:
    kinds = {resource["Type"] for resource in resources(LOCAL).values()}

    assert not {kind for kind in kinds if kind.startswith(("AWS::CodeDeploy", "AWS::Route53"))}


@pytest.mark.parametrize("choice", [DOMAIN, {}], ids=["domain", "none"])
def test_the_commands_for_the_tokens_name_the_secret_and_hold_no_token(choice: Choice) -> None:
    outputs = deployed(choice)["Outputs"]

    for role in ("Admin", "Client"):
        command = outputs[f"{role}TokenCommand"]["Value"]["Fn::Sub"]
        assert "--region ${AWS::Region}" in command
        assert f"--secret-id ${{{role}Token}}" in command
        assert "profile" not in command
    assert "SecretString}" not in json.dumps(outputs)


def test_a_stack_to_throw_away_keeps_nothing_and_another_keeps_registry_and_key() -> None:
    def kept(choice: Choice) -> set[str]:
        return {name for name, made in resources(choice).items() if made.get("DeletionPolicy") == "Retain"}

    assert kept({}) >= {"ProvidersTable", "ProviderKeysKey"}
    assert not kept({"Data": "throw-away"}) & {"ProvidersTable", "ProviderKeysKey"}
    assert resources({})["ProvidersTable"]["Properties"]["DeletionProtectionEnabled"] is True


def test_rules_say_in_words_what_goes_together() -> None:
    rules = render()["Rules"].values()
    described = [assertion["AssertDescription"] for rule in rules for assertion in rule["Assertions"]]

    assert len(described) == 4
    assert all(words.endswith(".") for words in described)
