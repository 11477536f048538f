"""The template with parameters other than the defaults. The local AWS cannot deploy many of them: lint them."""

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
FUNCTIONS = (
    "AuthorizerFunction",
    "ProvidersFunction",
    "CompletionsFunction",
    "PreflightFunction",
    "StatusFunction",
    "HeartbeatFunction",
)
# Unused parameters and mappings: after rendering, only conditions and SAM have used them.
IGNORED_CHECKS = ["W2001", "W7001"]
CHOICES = [*pairwise(), LOCAL]


def resources(choice: Choice) -> dict[str, Any]:
    return dict(deployed(choice)["Resources"])


def functions(choice: Choice) -> dict[str, dict[str, Any]]:
    return of_type("AWS::Lambda::Function", resources(choice))


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: ",".join(choice) or "defaults")
def test_rendered_template_passes_lint(choice: Choice) -> None:
    options = ManualArgs(regions=["us-east-1"], ignore_checks=IGNORED_CHECKS)
    rendered = deployed(choice)
    for name, value in choice.items():
        rendered["Parameters"][name]["Default"] = value
    for resource in rendered["Resources"].values():
        # Checks that the template ignores before SAM renders it apply to the rendered template.
        resource.get("Metadata", {}).pop("cfn-lint", None)

    assert [str(match) for match in lint(json.dumps(rendered), config=options)] == []


@pytest.mark.parametrize("name", PARAMETERS)
def test_each_parameter_has_a_description_and_valid_default(name: str) -> None:
    declared = PARAMETERS[name]
    default = str(declared["Default"])

    assert declared["Description"].endswith(".")
    assert {"AllowedValues", "AllowedPattern", "MinValue"} & declared.keys()
    assert default in map(str, declared.get("AllowedValues", [default]))
    assert re.fullmatch(declared.get("AllowedPattern", ".*"), default)
    if "MinValue" in declared:
        assert declared["MinValue"] <= int(default) <= declared["MaxValue"]


INVALID_SECONDS = ["0", "0.0", "00.5", "-1", "5s", "999999", ".5"]
INVALID = {
    "VpcSubnetIds": ["subnet-1", "sg-0123456789abcdef0", "subnet-01234567,", "subnet-01234567, subnet-01234568"],
    "VpcSecurityGroupIds": ["subnet-01234567", "sg-"],
    "DomainName": ["https://llm.example.com", "llm", "llm.example.com/v1", "LLM.example.com"],
    "CertificateArn": ["certificate/1", "arn:aws:iam::123456789012:role/a"],
    "HostedZoneId": ["example.com", "/hostedzone/Z1"],
    "ConnectSeconds": INVALID_SECONDS,
    "FirstByteSeconds": INVALID_SECONDS,
    "StreamIdleSeconds": INVALID_SECONDS,
    "WholeSeconds": INVALID_SECONDS,
    "KeepAliveSeconds": ["-1", "15s", "999999"],
    "AwsEndpointUrl": ["127.0.0.1:4566", "http://127.0.0.1:4566/", "http://", "ftp://aws", "http://a b"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in INVALID.items() for value in values])
def test_rejects_malformed_values(name: str, value: str) -> None:
    assert not re.fullmatch(PARAMETERS[name]["AllowedPattern"], value)


@pytest.mark.parametrize(
    ("name", "value"), [("WholeSeconds", "0.4"), ("ConnectSeconds", "5"), ("KeepAliveSeconds", "0")]
)
def test_accepts_fractional_seconds_and_zero_keep_alive(name: str, value: str) -> None:
    assert re.fullmatch(PARAMETERS[name]["AllowedPattern"], value)


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: ",".join(choice) or "defaults")
def test_tested_choices_are_valid(choice: Choice) -> None:
    for name, value in choice.items():
        assert re.fullmatch(PARAMETERS[name].get("AllowedPattern", ".*"), value)
        assert value in map(str, PARAMETERS[name].get("AllowedValues", [value]))


def test_each_parameter_is_in_one_group() -> None:
    groups = template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

    assert Counter(name for group in groups for name in group["Parameters"]) == Counter(list(PARAMETERS))


def test_functions_with_provider_keys_run_in_the_vpc() -> None:
    assert {name for name, f in functions(VPC).items() if "VpcConfig" in f} == {
        "ProvidersFunction",
        "CompletionsFunction",
        "HeartbeatFunction",
    }
    assert not [name for name, function in functions({}).items() if "VpcConfig" in function]


def test_only_vpc_functions_may_create_network_interfaces() -> None:
    def allowed_roles(choice: Choice) -> set[str]:
        roles = of_type("AWS::IAM::Role", resources(choice))
        return {name for name, role in roles.items() if "ec2:CreateNetworkInterface" in json.dumps(role)}

    assert allowed_roles(VPC) == {"ProvidersRole", "CompletionsRole", "HeartbeatRole"}
    assert allowed_roles({}) == set()


def test_reserves_concurrency_only_when_configured() -> None:
    reserved = {name: f.get("ReservedConcurrentExecutions") for name, f in functions(RESERVED).items()}

    assert reserved == {
        "AuthorizerFunction": {"Ref": "AuthorizerConcurrency"},
        "ProvidersFunction": None,
        "PreflightFunction": None,
        "StatusFunction": None,
        "CompletionsFunction": {"Ref": "CompletionsConcurrency"},
        "HeartbeatFunction": {"Ref": "HeartbeatConcurrency"},
    }
    assert not [name for name, function in functions({}).items() if "ReservedConcurrentExecutions" in function]


def test_memory_parameter_of_each_function() -> None:
    assert {name: function["MemorySize"]["Ref"] for name, function in functions({}).items()} == {
        "AuthorizerFunction": "ApiMemory",
        "ProvidersFunction": "ApiMemory",
        "PreflightFunction": "ApiMemory",
        "StatusFunction": "ApiMemory",
        "CompletionsFunction": "CompletionsMemory",
        "HeartbeatFunction": "HeartbeatMemory",
    }


def test_snapshots_apply_to_published_versions_and_default_to_off() -> None:
    snapshots = {"ApplyOn": "PublishedVersions"}

    assert [function["SnapStart"] for function in functions({"SnapStart": "on"}).values()] == [snapshots] * 6
    assert not [name for name, function in functions({}).items() if "SnapStart" in function]


def test_custom_domain_maps_to_the_stage_and_outputs() -> None:
    rendered = deployed(DOMAIN)

    assert rendered["Resources"]["DomainPath"]["Properties"]["Stage"] == {"Ref": "ApiprodStage"}
    assert rendered["Outputs"]["Url"]["Value"] == {"Fn::Sub": "https://${DomainName}"}
    assert not of_type("AWS::Route53::RecordSet", rendered["Resources"])
    assert not of_type("AWS::ApiGateway::DomainName", resources({}))


@pytest.mark.parametrize("choice", ACCESS_LOGS, ids=["off", "existing", "create"])
def test_access_logs_hold_no_token_and_no_query_string(choice: Choice) -> None:
    deployed_resources = resources(choice)
    setting = deployed_resources["ApiprodStage"]["Properties"].get("AccessLogSetting")

    assert (setting is not None) == bool(choice)
    assert ("ApiGatewayAccount" in deployed_resources) == (choice.get("AccessLogs") == "create")
    if setting:
        used = set(re.findall(r"\$context\.([\w.]+)", setting["Format"]))
        assert set(json.loads(setting["Format"]).values()) == {f"$context.{name}" for name in used}
        assert not [name for name in used if re.search(r"path$|querystring|header|authoriz.*token|body", name)]


def test_logging_role_is_set_after_the_api_and_before_the_logs() -> None:
    """AWS accepts the role only in an account with an API. The stage waits for the role through the log group."""
    deployed_resources = resources({"AccessLogs": "create"})

    assert deployed_resources["ApiGatewayAccount"]["DependsOn"] == "Api"
    assert {"Ref": "ApiGatewayAccount"} in [
        tag["Value"] for tag in deployed_resources["AccessLogGroup"]["Properties"]["Tags"]
    ]


def test_logging_role_is_retained() -> None:
    deployed_resources = resources({"AccessLogs": "create"})

    assert {deployed_resources[name]["DeletionPolicy"] for name in ("ApiGatewayAccount", "LoggingRole")} == {"Retain"}


def test_gradual_deployment_rolls_back_on_function_errors() -> None:
    deployed_resources = resources({"Deployment": "Canary10Percent5Minutes"})
    groups = of_type("AWS::CodeDeploy::DeploymentGroup", deployed_resources)

    assert len(groups) == len(FUNCTIONS)
    for name, group in groups.items():
        [alarm] = group["AlarmConfiguration"]["Alarms"]
        watched = deployed_resources[alarm["Name"]["Ref"]]["Properties"]
        function = name.removesuffix("DeploymentGroup")
        # Lambda counts wrong tokens as errors of the authorizer.
        if function == "AuthorizerFunction":
            assert watched["MetricName"] == "AuthorizerFailures"
        else:
            live = [{"Ref": function}, {"Fn::Sub": f"${{{function}}}:live"}]
            assert [dimension["Value"] for dimension in watched["Dimensions"]] == live
        assert "UpdatePolicy" in deployed_resources[f"{function}Aliaslive"]


def test_heartbeat_rollback_threshold_is_reachable_in_a_minute() -> None:
    """The workflow calls the function twice a minute and does not retry failures."""
    alarm = resources({"Deployment": "Canary10Percent5Minutes"})["NewHeartbeatFails"]["Properties"]
    workflow = template()["Resources"]["HeartbeatWorkflow"]["Properties"]
    beats = json.dumps(workflow["Definition"]).count("HeartbeatFunction")

    assert (alarm["Statistic"], alarm["Period"], alarm["ComparisonOperator"]) == ("Sum", 60, "GreaterThanThreshold")
    assert alarm["Threshold"] + 1 < beats


def test_sam_mapping_covers_every_deployment_option() -> None:
    gradual = template()["Mappings"]["DeploymentPreferences"]

    assert set(gradual) == set(PARAMETERS["Deployment"]["AllowedValues"])
    assert [name for name, row in gradual.items() if row["Enabled"] != "true"] == ["AllAtOnce"]


def test_local_stack_has_no_codedeploy_and_no_route53() -> None:
    kinds = {resource["Type"] for resource in resources(LOCAL).values()}

    assert not {kind for kind in kinds if kind.startswith(("AWS::CodeDeploy", "AWS::Route53"))}


@pytest.mark.parametrize("choice", [DOMAIN, {}], ids=["domain", "none"])
def test_token_commands_name_the_secret_and_hold_no_token(choice: Choice) -> None:
    outputs = deployed(choice)["Outputs"]

    for role in ("Admin", "Client"):
        command = outputs[f"{role}TokenCommand"]["Value"]["Fn::Sub"]
        assert "--region ${AWS::Region}" in command
        assert f"--secret-id ${{{role}Token}}" in command
        assert "profile" not in command
    assert "SecretString}" not in json.dumps(outputs)


def test_throw_away_stack_retains_no_data() -> None:
    def retained(choice: Choice) -> set[str]:
        return {name for name, each in resources(choice).items() if each.get("DeletionPolicy", "").startswith("Retain")}

    assert retained({}) >= {"ProvidersTable", "ProviderKeysKey"}
    assert not retained({"Data": "throw-away"}) & {"ProvidersTable", "ProviderKeysKey"}
    assert resources({})["ProvidersTable"]["Properties"]["DeletionProtectionEnabled"] is True


def test_rules_describe_their_assertions() -> None:
    rules = render()["Rules"].values()
    descriptions = [assertion["AssertDescription"] for rule in rules for assertion in rule["Assertions"]]

    assert len(descriptions) == 6
    assert all(description.endswith(".") for description in descriptions)
