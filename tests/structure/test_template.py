"""The rendered template, and the agreement of template and code, which the local AWS cannot test."""

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from typing import Any

import pytest

from gateway.core.settings import Settings
from gateway.proxy.settings import Limits
from gateway.registry.overview import ATTRIBUTES
from tests.structure.parameter_choices import EVERYTHING
from tests.structure.rendered import deployed, of_type, render
from tests.template import ROOT, template

FUNCTIONS = of_type("AWS::Serverless::Function", template()["Resources"])
ALL_FUNCTIONS = template()["Globals"]["Function"]
# Types whose Name is a label or a domain instead of a physical name.
TYPES_WITH_OTHER_NAMES = {"AWS::Logs::QueryDefinition", "AWS::Route53::RecordSet"}
# Lambda rejects a role without these actions on every resource. A Deny statement withholds them from the code.
ACTIONS_ON_EVERY_RESOURCE = {"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"}
ACTIONS_ON_EVERY_RESOURCE |= {
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}


def methods() -> Iterator[tuple[str, str, dict[str, Any]]]:
    body = render()["Resources"]["Api"]["Properties"]["Body"]
    for path, operations in body["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


@pytest.mark.parametrize(("path", "method", "operation"), [pytest.param(*m, id=f"{m[1]} {m[0]}") for m in methods()])
def test_only_v1_routes_stream(path: str, method: str, operation: dict[str, Any]) -> None:
    integration = operation["x-amazon-apigateway-integration"]
    uri = str(integration["uri"])

    streams = path.startswith(("/v1/", "/anthropic/v1/")) and method != "options"
    assert uri.endswith("/response-streaming-invocations'}") == streams
    assert (integration.get("responseTransferMode") == "STREAM") == streams
    if streams:
        assert integration["timeoutInMillis"] == 310_000


def test_no_route_uses_method_any() -> None:
    assert {method for _, method, _ in methods()} <= {"get", "head", "post", "put", "patch", "delete", "options"}


def test_only_health_status_page_and_preflights_skip_the_authorizer() -> None:
    """The function itself closes the routes under /status that the parameter StatusPage does not open."""
    open_to_all = {(path, method) for path, method, operation in methods() if is_open(operation)}
    preflights = {(path, "options") for path, _, _ in methods()}
    health = {("/health", "get"), ("/health", "head")}
    public = {f"/status/public/{name}" for name in ("data", "feed.atom", "{id}/badge.svg", "{id}/shields.json")}
    live = {("/status/public/{id}/live", "get"), ("/status/public/{id}/live", "head")}

    assert open_to_all == preflights | health | {("/status", "get")} | {(path, "get") for path in public} | live


def test_every_status_route_has_its_own_throttle() -> None:
    settings_of_stage = template()["Resources"]["Api"]["Properties"]["MethodSettings"]
    throttled = {
        (setting["ResourcePath"].replace("~1", "/").removeprefix("/"), setting["HttpMethod"].lower())
        for setting in settings_of_stage
        if setting["ThrottlingRateLimit"] == 20
    }

    assert throttled == {(path, m) for path, m, _ in methods() if path.startswith("/status") and m != "options"}


def test_no_response_is_compressed_or_binary() -> None:
    """Either setting would change the bytes of streams, and the page is small without compression."""
    api = render()["Resources"]["Api"]["Properties"]

    assert not {"MinimumCompressionSize", "BinaryMediaTypes"} & api.keys()


def test_status_function_can_read_no_key_and_no_endpoint() -> None:
    allowed = [s for role, s in statements() if role == "StatusRole" and "logs:CreateLogStream" not in s["Action"]]
    scan = next(s for s in allowed if s["Resource"] == {"Fn::GetAtt": ["ProvidersTable", "Arn"]})

    assert scan["Action"] == "dynamodb:Scan"
    assert scan["Condition"]["StringEquals"] == {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}
    assert scan["Condition"]["ForAllValues:StringEquals"] == {"dynamodb:Attributes": list(ATTRIBUTES)}
    assert {action.partition(":")[0] for s in allowed for action in as_list(s["Action"])} == {"dynamodb"}


def test_function_does_not_mix_authorized_and_open_methods_on_a_path() -> None:
    """`sam local` merges the methods of one path and one function into one route with any of their authorizers."""
    openness: dict[tuple[str, str], set[bool]] = {}
    for path, _, operation in methods():
        uri = str(operation["x-amazon-apigateway-integration"]["uri"])
        openness.setdefault((path, uri), set()).add(is_open(operation))

    assert {route for route, values in openness.items() if len(values) > 1} == set()


def is_open(operation: dict[str, Any]) -> bool:
    return operation.get("security") in (None, [{"NONE": []}])


def test_sam_is_the_only_transform() -> None:
    """These tests apply only SAM's transform, so CloudFormation must not apply another one."""
    assert template()["Transform"] == "AWS::Serverless-2016-10-31"


def test_the_endpoint_is_regional() -> None:
    assert render()["Resources"]["Api"]["Properties"]["EndpointConfiguration"] == {"Types": ["REGIONAL"]}


def versions(**changed: str) -> set[str]:
    return set(of_type("AWS::Lambda::Version", render({}, **changed)["Resources"]))


def test_changed_layer_publishes_new_function_versions() -> None:
    before = versions()

    assert versions() == before
    assert len(versions(GatewayLayer="2") - before) == 6
    assert {name[:19] for name in versions(StreamingLayer="2") - before} == {"CompletionsFunction"}


def test_resources_have_no_physical_names() -> None:
    named = re.compile(
        r"^(FunctionName|TableName|RoleName|LogGroupName|LayerName|StateMachineName|Name|TopicName|AliasName)$"
    )
    names = [
        f"{name}.{key}"
        for name, resource in template()["Resources"].items()
        for key, value in resource.get("Properties", {}).items()
        # A LogGroupName that refers to a log group is not a physical name.
        if named.match(key) and "Ref" not in value
        if resource["Type"] not in TYPES_WITH_OTHER_NAMES
    ]
    assert names == []


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    resources = deployed(EVERYTHING)["Resources"]
    for name, role in of_type("AWS::IAM::Role", resources).items():
        assert not role.get("ManagedPolicyArns"), f"{name} has a managed policy"
        for policy in role["Policies"]:
            yield from ((name, statement) for statement in policy["PolicyDocument"]["Statement"])
    for name, key in of_type("AWS::KMS::Key", resources).items():
        yield from ((name, statement) for statement in key["KeyPolicy"]["Statement"])


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_policies_have_no_wildcards() -> None:
    for name, statement in statements():
        assert not [action for action in as_list(statement["Action"]) if "*" in action], name
        if "Principal" not in statement and not set(as_list(statement["Action"])) <= ACTIONS_ON_EVERY_RESOURCE:
            assert "*" not in as_list(statement["Resource"]), name


def test_workflow_may_invoke_only_its_functions() -> None:
    workflow = template()["Resources"]["HeartbeatWorkflow"]["Properties"]
    [policy] = template()["Resources"]["HeartbeatWorkflowRole"]["Properties"]["Policies"]
    [statement] = policy["PolicyDocument"]["Statement"]

    assert statement["Action"] == "lambda:InvokeFunction"
    assert as_list(statement["Resource"]) == list(workflow["DefinitionSubstitutions"].values())


def test_each_function_has_its_own_role() -> None:
    roles = [str(function["Role"]) for function in FUNCTIONS.values()]

    assert len(set(roles)) == len(roles) == 6


def test_preflight_function_may_only_write_logs() -> None:
    uris = {str(o["x-amazon-apigateway-integration"]["uri"]) for _, method, o in methods() if method == "options"}
    granted = [action for role, s in statements() if role == "PreflightRole" for action in as_list(s["Action"])]

    assert all("${PreflightFunction" in uri for uri in uris)
    assert granted == ["logs:CreateLogStream", "logs:PutLogEvents"]


def source(function: dict[str, Any]) -> str:
    return (ROOT / str(function["CodeUri"]) / "app.py").read_text()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_handler_exists(name: str) -> None:
    module, _, handler = FUNCTIONS[name].get("Handler", ALL_FUNCTIONS["Handler"]).rpartition(".")
    tree = ast.parse((ROOT / FUNCTIONS[name]["CodeUri"] / f"{module}.py").read_text())

    assert handler in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


# lambda_streaming reads its variable itself, without Settings.
READ_BY_A_LAYER = {"CompletionsFunction": {"STREAM_MODE"}}
GIVEN_TO_ALL = ALL_FUNCTIONS["Environment"]["Variables"].keys()
SET_BY_SAM_LOCAL = {"AWS_SAM_LOCAL"}


def settings_class(name: str) -> type[Settings]:
    code = source(FUNCTIONS[name])
    [class_name] = re.findall(r"^settings = (\w+)\.from_environ\(os\.environ\)$", code, re.MULTILINE)
    [module] = re.findall(rf"^from (gateway\S+) import {class_name}$", code, re.MULTILINE)
    result: type[Settings] = getattr(import_module(module), class_name)
    return result


def declared(name: str) -> set[str]:
    """The variables that the template gives to this function alone, and that the gateway reads."""
    return set(FUNCTIONS[name]["Environment"]["Variables"]) - READ_BY_A_LAYER.get(name, set())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_declares_exactly_the_variables_that_each_function_reads(name: str) -> None:
    variables = {field.name.upper() for field in fields(settings_class(name))}

    assert variables - GIVEN_TO_ALL - SET_BY_SAM_LOCAL == declared(name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_uses_every_variable_that_it_is_given(name: str) -> None:
    cls = settings_class(name)
    used = set(re.findall(r"\bsettings\.(\w+)", source(FUNCTIONS[name])))
    for attribute in used & {"limits"}:
        used |= set(re.findall(r"\bself\.(\w+)", inspect.getsource(getattr(cls, attribute).fget)))

    assert declared(name) <= {attribute.upper() for attribute in used}


def test_limit_parameters_document_the_defaults_of_the_code() -> None:
    variables = FUNCTIONS["CompletionsFunction"]["Environment"]["Variables"]
    limits = {f"{field.name.upper()}_SECONDS": field.default for field in fields(Limits)}
    assert limits.keys() == {name for name in declared("CompletionsFunction") if name.endswith("_SECONDS")}
    for name, default in limits.items():
        parameter = name.title().replace("_", "")
        assert variables[name] == {"Ref": parameter}
        shown = template()["Parameters"][parameter]
        assert shown["Default"] == ""
        assert f"Empty for the default, {default:g}" in shown["Description"]


def test_only_the_completions_function_uses_the_streaming_layer() -> None:
    using = {name for name in FUNCTIONS if "lambda_streaming" in source(FUNCTIONS[name])}
    with_layer = {name for name, function in FUNCTIONS.items() if "StreamingLayer" in str(function["Layers"])}

    assert using == with_layer == {"CompletionsFunction"}


def test_layer_packages_are_pinned_and_importable() -> None:
    lines = (ROOT / "layers/gateway/requirements.txt").read_text().split()

    assert all("==" in line for line in lines)
    names = {"aws-lambda-powertools": "aws_lambda_powertools"}
    assert all(importlib.util.find_spec(names.get(n, n)) for n in (line.partition("==")[0] for line in lines))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_may_only_write_its_own_log_group(name: str) -> None:
    role, attribute = FUNCTIONS[name]["Role"]["Fn::GetAtt"]
    group = FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]

    assert attribute == "Arn"
    own = [statement for owner, statement in statements() if owner == role]
    granted = [(action, s["Resource"]) for s in own for action in as_list(s["Action"]) if action.startswith("logs:")]
    assert granted == [(a, {"Fn::GetAtt": [group, "Arn"]}) for a in ("logs:CreateLogStream", "logs:PutLogEvents")]
