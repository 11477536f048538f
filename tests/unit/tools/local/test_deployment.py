from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse

from tools.local import deployment
from tools.local.deployed import Authorizer, Function, GatewayResponse
from tools.local.settings import REPOSITORY

ARN = "arn:aws:lambda:us-east-1:000000000000:function:local-CompletionsFunction-1:live"
URI = f"arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/{ARN}"


class Lambda:
    """One function with an alias, as Lambda describes it."""

    def list_aliases(self, **asked: str) -> dict[str, Any]:
        assert asked == {"FunctionName": "local-CompletionsFunction-1"}
        return {"Aliases": [{"Name": "live", "AliasArn": ARN, "FunctionVersion": "3"}]}

    def get_function_configuration(self, **asked: str) -> dict[str, Any]:
        assert asked == {"FunctionName": "local-CompletionsFunction-1", "Qualifier": "live"}
        return {
            "Handler": "app.handler",
            "Role": "arn:aws:iam::000000000000:role/completions",
            "Timeout": 300,
            "MemorySize": 1024,
            "Environment": {"Variables": {"PLATFORM": "local"}},
            "LoggingConfig": {"LogGroup": "/completions"},
        }


class Gateway:
    def get_authorizers(self, **asked: str) -> dict[str, Any]:
        assert asked == {"restApiId": "api"}
        uri = URI.replace("Completions", "Authorizer")
        return {"items": [{"id": "a1", "authorizerUri": f"{uri}/invocations", "authorizerResultTtlInSeconds": 300}]}

    def get_resources(self, **asked: Any) -> dict[str, Any]:
        assert asked == {"restApiId": "api", "embed": ["methods"], "limit": 500}

        def method(uri: str, **more: str) -> dict[str, Any]:
            return {"methodIntegration": {"uri": uri}, **more}

        chat = {"POST": method(f"{URI}/response-streaming-invocations", authorizationType="CUSTOM", authorizerId="a1")}
        health = {"GET": method(f"{URI}/invocations", authorizationType="NONE")}
        return {
            "items": [
                {"path": "/"},
                {"path": "/v1/chat", "resourceMethods": chat},
                {"path": "/health", "resourceMethods": health},
            ]
        }


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build folder whose second layer has no build method: SAM leaves that one where it is."""
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
    return deployment._function(Lambda(), resource, build, TEMPLATE)


def test_a_function_has_its_built_code_and_layers_and_what_its_alias_says(build: Path) -> None:
    found = completions(build)

    assert found.arn == ARN
    assert (found.handler, found.timeout_s, found.memory_mb) == ("app.handler", 300, 1024)
    assert found.environment == {"PLATFORM": "local"}
    assert found.log_group == "/completions"
    assert found.code == build / "CompletionsFunction"
    assert found.layers == (build / "GatewayLayer", build.parents[2] / "layers" / "streaming")


def test_only_streaming_routes_have_a_function_and_only_guarded_ones_an_authorizer(build: Path) -> None:
    function = completions(build)

    chat, health = deployment._routes(Gateway(), "api", {function.name: function})

    assert (chat.method, chat.path, chat.function) == ("POST", "/v1/chat", function)
    assert chat.authorizer == Authorizer(ARN.replace("Completions", "Authorizer"), 300)
    assert (health.method, health.path, health.function, health.authorizer) == ("GET", "/health", None, None)


def test_gateway_responses_are_read_from_the_template() -> None:
    assert deployment._gateway_responses({"Resources": TEMPLATE}, {}) == {
        "DEFAULT_4XX": GatewayResponse(body='{"error": 1}'),
        "THROTTLED": GatewayResponse(body="", status=429, headers={"Retry-After": "'1'"}),
    }


def test_this_very_template_has_its_gateway_responses_read() -> None:
    template = dict(yaml_parse((REPOSITORY / "template.yaml").read_text()))
    found = deployment._gateway_responses(template, {})

    assert found["ACCESS_DENIED"].status == 403
    assert '"code": "unauthorized"' in found["UNAUTHORIZED"].body
    assert found["UNAUTHORIZED"].headers == {"X-Request-Id": "context.requestId"}
    open_to_pages = deployment._gateway_responses(template, {"AllowedOrigins": "https://chat.example.com"})
    assert open_to_pages["UNAUTHORIZED"].headers == {
        "X-Request-Id": "context.requestId",
        "Access-Control-Allow-Origin": "'*'",
        "Access-Control-Expose-Headers": "'X-Request-Id'",
    }


class Sts:
    """Gives credentials that last as long as it is told."""

    def __init__(self, lasting: timedelta) -> None:
        self.asked = 0
        self._lasting = lasting

    def assume_role(self, **asked: str) -> dict[str, Any]:
        self.asked += 1
        assert len(asked["RoleSessionName"]) <= 64
        return {
            "Credentials": {
                "AccessKeyId": f"{asked['RoleArn']} {self.asked}",
                "SecretAccessKey": "secret",
                "SessionToken": "session",
                "Expiration": datetime.now(UTC) + self._lasting,
            }
        }


@pytest.mark.parametrize(("lasting", "asked"), [(timedelta(hours=1), 1), (timedelta(minutes=4), 2)])
def test_credentials_are_kept_until_shortly_before_they_expire(build: Path, lasting: timedelta, asked: int) -> None:
    sts = Sts(lasting)
    credentials, function = deployment.Credentials(sts), completions(build)

    credentials(function)
    variables = credentials(function)

    assert variables == {
        "AWS_ACCESS_KEY_ID": f"{function.role_arn} {asked}",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "session",
    }
    assert sts.asked == asked
