"""Reads the deployed stack from the local AWS and from the build folder."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse

from tools.local import aws
from tools.local.deployment import Authorizer, Deployment, Function, GatewayResponse, Route
from tools.local.intrinsics import Resolver
from tools.local.settings import ACCOUNT, REGION, STACK

STREAMING_URI_SUFFIX = "/response-streaming-invocations"


def read_functions(url: str, build: Path) -> tuple[Function, ...]:
    """Returns the functions of the stack on the local AWS at `url`, as their aliases publish them.

    `build` is the folder of the stack's build, which has the functions' code.
    """
    resources = _template(build)["Resources"]
    lambda_ = aws.client("lambda", url)
    deployed = aws.client("cloudformation", url).describe_stack_resources(StackName=STACK)["StackResources"]
    return tuple(
        _function(lambda_, resource, build, resources)
        for resource in deployed
        if resource["ResourceType"] == "AWS::Lambda::Function"
    )


def read_deployment(url: str, build: Path, functions: tuple[Function, ...]) -> Deployment:
    """Returns the stack on the local AWS at `url`, with its API. `functions` are those of the same stack."""
    stack = aws.client("cloudformation", url).describe_stacks(StackName=STACK)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    gateway = aws.client("apigateway", url)
    return Deployment(
        api_id=outputs["ApiId"],
        stage=gateway.get_stages(restApiId=outputs["ApiId"])["item"][0]["stageName"],
        region=REGION,
        account_id=ACCOUNT,
        routes=tuple(_routes(gateway, outputs["ApiId"], {function.name: function for function in functions})),
        gateway_responses=_gateway_responses(_template(build), _parameters(stack)),
        outputs=outputs,
    )


def _template(build: Path) -> dict[str, Any]:
    return dict(yaml_parse((build / "template.yaml").read_text()))


def _parameters(stack: dict[str, Any]) -> dict[str, str]:
    return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack.get("Parameters", [])}


def _function(lambda_: Any, deployed: dict[str, Any], build: Path, resources: dict[str, Any]) -> Function:
    name, logical_id = deployed["PhysicalResourceId"], deployed["LogicalResourceId"]
    alias = lambda_.list_aliases(FunctionName=name)["Aliases"][0]
    configuration = lambda_.get_function_configuration(FunctionName=name, Qualifier=alias["Name"])
    properties = resources[logical_id]["Properties"]
    layers = [resources[layer["Ref"]]["Properties"]["ContentUri"] for layer in properties.get("Layers", [])]
    return Function(
        logical_id=logical_id,
        name=name,
        arn=alias["AliasArn"],
        handler=configuration["Handler"],
        role_arn=configuration["Role"],
        timeout_s=configuration["Timeout"],
        memory_mb=configuration["MemorySize"],
        environment=configuration.get("Environment", {}).get("Variables", {}),
        code=(build / properties["CodeUri"]).resolve(),
        layers=tuple((build / layer).resolve() for layer in layers),
        log_group=configuration.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{name}",
    )


def _routes(gateway: Any, api_id: str, functions: dict[str, Function]) -> Iterator[Route]:
    authorizers = {item["id"]: _authorizer(item) for item in gateway.get_authorizers(restApiId=api_id)["items"]}
    for resource in gateway.get_resources(restApiId=api_id, embed=["methods"], limit=500)["items"]:
        for name, method in resource.get("resourceMethods", {}).items():
            uri = method.get("methodIntegration", {}).get("uri", "")
            is_streaming = uri.endswith(STREAMING_URI_SUFFIX)
            yield Route(
                method=name,
                path=resource["path"],
                function=functions[_function_arn(uri).split(":")[6]] if is_streaming else None,
                authorizer=authorizers.get(method.get("authorizerId", "")),
            )


def _authorizer(item: dict[str, Any]) -> Authorizer:
    ttl_s = int(item.get("authorizerResultTtlInSeconds", 300))
    header = item["identitySource"].removeprefix("method.request.header.")
    return Authorizer(_function_arn(item["authorizerUri"]), ttl_s, header, item["type"])


def _function_arn(uri: str) -> str:
    """Returns FUNCTION_ARN of `arn:aws:apigateway:REGION:lambda:path/DATE/functions/FUNCTION_ARN/invocations`."""
    match = re.search(r"/functions/(arn:[^/]+)/", uri)
    if match is None:
        raise ValueError(f"not a Lambda integration URI: {uri}")
    return match[1]


def _gateway_responses(template: dict[str, Any], parameters: dict[str, str]) -> dict[str, GatewayResponse]:
    resolver = Resolver(template, parameters)
    resolved = {
        response_type: resolver.resolve(response)
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Api"
        for response_type, response in resource["Properties"].get("GatewayResponses", {}).items()
    }
    return {response_type: _gateway_response(response) for response_type, response in resolved.items()}


def _gateway_response(response: dict[str, Any]) -> GatewayResponse:
    return GatewayResponse(
        body=response.get("ResponseTemplates", {}).get("application/json", ""),
        status=int(response["StatusCode"]) if "StatusCode" in response else None,
        headers=response.get("ResponseParameters", {}).get("Headers", {}),
    )
