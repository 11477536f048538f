"""Reads back from the local AWS and the build folder what is deployed, in the front's words."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse

from tools.local import aws
from tools.local.deployed import Authorizer, Deployment, Function, GatewayResponse, Route
from tools.local.intrinsics import Resolver
from tools.local.settings import ACCOUNT, REGION, STACK

STREAMING = "/response-streaming-invocations"
RENEW_BEFORE = timedelta(minutes=5)


class Credentials:
    """Temporary credentials of the functions' roles, renewed before they expire."""

    def __init__(self, sts: Any) -> None:
        self._sts = sts
        self._held: dict[str, tuple[datetime, dict[str, str]]] = {}

    def __call__(self, function: Function) -> dict[str, str]:
        """The environment variables that Lambda would set for `function`. Blocks for some milliseconds."""
        renewal, variables = self._held.get(function.role_arn, (datetime.min.replace(tzinfo=UTC), {}))
        if renewal < datetime.now(UTC):
            answer = self._sts.assume_role(RoleArn=function.role_arn, RoleSessionName=function.name[:64])
            given = answer["Credentials"]
            variables = {
                "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
                "AWS_SESSION_TOKEN": given["SessionToken"],
            }
            self._held[function.role_arn] = given["Expiration"] - RENEW_BEFORE, variables
        return dict(variables)


def functions(url: str, build: Path) -> tuple[Function, ...]:
    """The functions of the stack on the local AWS at `url`, each as its alias has it, with its code in `build`."""
    template = _template(build)
    lambda_ = aws.client("lambda", url)
    resources = aws.client("cloudformation", url).describe_stack_resources(StackName=STACK)["StackResources"]
    return tuple(
        _function(lambda_, resource, build, template)
        for resource in resources
        if resource["ResourceType"] == "AWS::Lambda::Function"
    )


def describe(url: str, build: Path, deployed: tuple[Function, ...]) -> Deployment:
    """The rest of that stack: its API."""
    stack = aws.client("cloudformation", url).describe_stacks(StackName=STACK)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    gateway = aws.client("apigateway", url)
    return Deployment(
        api_id=outputs["ApiId"],
        stage=gateway.get_stages(restApiId=outputs["ApiId"])["item"][0]["stageName"],
        region=REGION,
        account_id=ACCOUNT,
        routes=tuple(_routes(gateway, outputs["ApiId"], {function.name: function for function in deployed})),
        gateway_responses=_gateway_responses(_whole_template(build), _parameters(stack)),
        outputs=outputs,
    )


def _template(build: Path) -> dict[str, Any]:
    return dict(_whole_template(build)["Resources"])


def _whole_template(build: Path) -> dict[str, Any]:
    return dict(yaml_parse((build / "template.yaml").read_text()))


def _parameters(stack: dict[str, Any]) -> dict[str, str]:
    return {found["ParameterKey"]: found["ParameterValue"] for found in stack.get("Parameters", [])}


def _function(lambda_: Any, resource: dict[str, Any], build: Path, template: dict[str, Any]) -> Function:
    name, logical_id = resource["PhysicalResourceId"], resource["LogicalResourceId"]
    alias = lambda_.list_aliases(FunctionName=name)["Aliases"][0]
    found = lambda_.get_function_configuration(FunctionName=name, Qualifier=alias["Name"])
    properties = template[logical_id]["Properties"]
    layers = [template[layer["Ref"]]["Properties"]["ContentUri"] for layer in properties.get("Layers", [])]
    return Function(
        logical_id=logical_id,
        name=name,
        arn=alias["AliasArn"],
        handler=found["Handler"],
        role_arn=found["Role"],
        timeout_s=found["Timeout"],
        memory_mb=found["MemorySize"],
        environment=found.get("Environment", {}).get("Variables", {}),
        code=(build / properties["CodeUri"]).resolve(),
        layers=tuple((build / layer).resolve() for layer in layers),
        log_group=found.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{name}",
    )


def _routes(gateway: Any, api: str, by_name: dict[str, Function]) -> Iterator[Route]:
    authorizers = {found["id"]: _authorizer(found) for found in gateway.get_authorizers(restApiId=api)["items"]}
    for resource in gateway.get_resources(restApiId=api, embed=["methods"], limit=500)["items"]:
        for method, found in resource.get("resourceMethods", {}).items():
            uri = found.get("methodIntegration", {}).get("uri", "")
            streams = uri.endswith(STREAMING)
            yield Route(
                method=method,
                path=resource["path"],
                function=by_name[_function_arn(uri).split(":")[6]] if streams else None,
                authorizer=authorizers.get(found.get("authorizerId", "")),
            )


def _authorizer(found: dict[str, Any]) -> Authorizer:
    return Authorizer(_function_arn(found["authorizerUri"]), int(found.get("authorizerResultTtlInSeconds", 300)))


def _function_arn(uri: str) -> str:
    """Of `arn:aws:apigateway:REGION:lambda:path/DATE/functions/FUNCTION_ARN/invocations`."""
    found = re.search(r"/functions/(arn:[^/]+)/", uri)
    if found is None:
        raise ValueError(f"not the URI of a function: {uri}")
    return found[1]


def _gateway_responses(template: dict[str, Any], parameters: dict[str, str]) -> dict[str, GatewayResponse]:
    resolver = Resolver(template, parameters)
    declared = {
        kind: resolver.resolve(response)
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Api"
        for kind, response in resource["Properties"].get("GatewayResponses", {}).items()
    }
    return {kind: _gateway_response(response) for kind, response in declared.items()}


def _gateway_response(declared: dict[str, Any]) -> GatewayResponse:
    return GatewayResponse(
        body=declared.get("ResponseTemplates", {}).get("application/json", ""),
        status=int(declared["StatusCode"]) if "StatusCode" in declared else None,
        headers=declared.get("ResponseParameters", {}).get("Headers", {}),
    )
