from pathlib import Path
from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse

from tools.local import discovery
from tools.local.deployment import Authorizer, Function, GatewayResponse
from tools.local.settings import REPOSITORY

ARN = "arn:aws:lambda:us-east-1:000000000000:function:local-CompletionsFunction-1:live"
URI = f"arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/{ARN}"


class Lambda:
    """Describes one function with an alias, as Lambda does."""

    def list_aliases(self, **request: str) -> dict[str, Any]:
        assert request == {"FunctionName": "local-CompletionsFunction-1"}
        return {"Aliases": [{"Name": "live", "AliasArn": ARN, "FunctionVersion": "3"}]}

    def get_function_configuration(self, **request: str) -> dict[str, Any]:
        assert request == {"FunctionName": "local-CompletionsFunction-1", "Qualifier": "live"}
        return {
            "Handler": "app.handler",
            "Role": "arn:aws:iam::000000000000:role/completions",
            "Timeout": 300,
            "MemorySize": 1024,
            "Environment": {"Variables": {"PLATFORM": "local"}},
            "LoggingConfig": {"LogGroup": "/completions"},
        }


class Gateway:
    def get_authorizers(self, **request: str) -> dict[str, Any]:
        assert request == {"restApiId": "api"}
        uri = URI.replace("Completions", "Authorizer")
        bearer = {"id": "a1", "type": "TOKEN", "identitySource": "method.request.header.Authorization"}
        api_key = {"id": "a2", "type": "REQUEST", "identitySource": "method.request.header.x-api-key"}
        shared = {"authorizerUri": f"{uri}/invocations", "authorizerResultTtlInSeconds": 300}
        return {"items": [bearer | shared, api_key | shared]}

    def get_resources(self, **request: Any) -> dict[str, Any]:
        assert request == {"restApiId": "api", "embed": ["methods"], "limit": 500}

        def method(uri: str, **fields: str) -> dict[str, Any]:
            return {"methodIntegration": {"uri": uri}, **fields}

        chat = {"POST": method(f"{URI}/response-streaming-invocations", authorizationType="CUSTOM", authorizerId="a1")}
        health = {"GET": method(f"{URI}/invocations", authorizationType="NONE")}
        return {
            "items": [
                {"path": "/"},
                {"path": "/v1/chat", "resourceMethods": chat},
                {"path": "/anthropic/v1/models", "resourceMethods": {"GET": chat["POST"] | {"authorizerId": "a2"}}},
                {"path": "/health", "resourceMethods": health},
            ]
        }


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build folder. Its second layer has no build method, so SAM leaves it in the source folder."""
    build = tmp_path / ".local" / "build" / "hash"
    (build / "CompletionsFunction").mkdir(parents=True)
    (build / "GatewayLayer").mkdir()
    (tmp_path / "layers" / "streaming").mkdir(parents=True)
    return build


TEMPLATE = yaml_parse("""
Resources:
  CompletionsFunction:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: CompletionsFunction, Layers: [!Ref GatewayLayer, !Ref StreamingLayer]}
  GatewayLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: GatewayLayer}
  StreamingLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: ../../../layers/streaming}
  Api:
    Type: AWS::Serverless::Api
    Properties:
      GatewayResponses:
        DEFAULT_4XX:
          ResponseTemplates: {application/json: '{"error": 1}'}
        THROTTLED:
          StatusCode: "429"
          ResponseParameters: {Headers: {Retry-After: "'1'"}}
""")["Resources"]


def completions(build: Path) -> Function:
    resource = {"LogicalResourceId": "CompletionsFunction", "PhysicalResourceId": "local-CompletionsFunction-1"}
    return discovery._function(Lambda(), resource, build, TEMPLATE)


def test_reads_a_functions_alias_and_its_built_code(build: Path) -> None:
    function = completions(build)

    assert function.arn == ARN
    assert (function.handler, function.timeout_s, function.memory_mb) == ("app.handler", 300, 1024)
    assert function.environment == {"PLATFORM": "local"}
    assert function.log_group == "/completions"
    assert function.code == build / "CompletionsFunction"
    assert function.layers == (build / "GatewayLayer", build.parents[2] / "layers" / "streaming")


def test_reads_functions_of_streaming_routes_and_authorizers(build: Path) -> None:
    function = completions(build)

    chat, models, health = discovery._routes(Gateway(), "api", {function.name: function})

    assert (chat.method, chat.path, chat.function) == ("POST", "/v1/chat", function)
    assert chat.authorizer == Authorizer(ARN.replace("Completions", "Authorizer"), 300)
    assert models.authorizer == Authorizer(ARN.replace("Completions", "Authorizer"), 300, "x-api-key", "REQUEST")
    assert (health.method, health.path, health.function, health.authorizer) == ("GET", "/health", None, None)


def test_reads_gateway_responses() -> None:
    assert discovery._gateway_responses({"Resources": TEMPLATE}, {}) == {
        "DEFAULT_4XX": GatewayResponse(body='{"error": 1}'),
        "THROTTLED": GatewayResponse(body="", status=429, headers={"Retry-After": "'1'"}),
    }


def test_reads_the_gateway_responses_of_the_repositorys_template() -> None:
    template = dict(yaml_parse((REPOSITORY / "template.yaml").read_text()))
    responses = discovery._gateway_responses(template, {})

    assert responses["ACCESS_DENIED"].status == 403
    assert '"code": "unauthorized"' in responses["UNAUTHORIZED"].body
    assert responses["UNAUTHORIZED"].headers == {"X-Request-Id": "context.requestId", "X-Should-Retry": "'false'"}
    with_origins = discovery._gateway_responses(template, {"AllowedOrigins": "https://chat.example.com"})
    assert with_origins["UNAUTHORIZED"].headers == {
        "X-Request-Id": "context.requestId",
        "X-Should-Retry": "'false'",
        "Access-Control-Allow-Origin": "'*'",
        "Access-Control-Expose-Headers": "'Retry-After, X-Request-Id, X-Should-Retry'",
    }
