"""Access to the API in the rendered template: networks, web pages, rate limits and gateway responses."""

import ast
import itertools
import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.structure.parameter_choices import WEB_ACL
from tests.structure.rendered import chosen, deployed, of_type, render
from tests.template import ROOT, template
from tools.local.apigateway.gateway_responses import DEFAULT_RESPONSES
from tools.local.intrinsics import Resolver

CIDRS = {"": None, "192.0.2.0/24": ["192.0.2.0/24"], "192.0.2.0/24,0.0.0.0/0": ["192.0.2.0/24", "0.0.0.0/0"]}
ORIGINS = ("", "https://chat.example.com", "https://chat.example.com,http://localhost:3000")
COMBINATIONS = list(itertools.product(CIDRS, ORIGINS, ("keep", "throw-away")))


def rendered(cidrs: str = "", origins: str = "", data: str = "keep") -> dict[str, Any]:
    """The deployed resources, with every intrinsic that depends on a parameter resolved."""
    parameters = {"AllowedCidrs": cidrs, "AllowedOrigins": origins, "Data": data}
    resolver = Resolver(template(), chosen(parameters))
    return dict(resolver.resolve(deployed(parameters)["Resources"]))


@pytest.mark.parametrize(("cidrs", "origins", "data"), COMBINATIONS)
def test_renders_allowed_networks_and_origins(cidrs: str, origins: str, data: str) -> None:
    resources = rendered(cidrs, origins, data)
    api = resources["Api"]["Properties"]

    assert allowed_networks(api["Policy"]) == CIDRS[cidrs]
    for kind, response in api["Body"]["x-amazon-apigateway-gateway-responses"].items():
        headers = {name.rpartition(".")[2]: value for name, value in response["responseParameters"].items()}
        exposed = "'Retry-After, X-Request-Id, X-Should-Retry'"
        for_pages = {"Access-Control-Allow-Origin": "'*'", "Access-Control-Expose-Headers": exposed}
        expected = {"X-Request-Id": "context.requestId"} | retry_headers(kind)
        assert headers == expected | (for_pages if origins else {})
    for function in ("ProvidersFunction", "CompletionsFunction"):
        variables = resources[function]["Properties"]["Environment"]["Variables"]
        assert variables["ALLOWED_ORIGINS"] == origins


def retry_headers(kind: str) -> dict[str, str]:
    """A 5xx may be temporary. Claude Code repeats a 401 for three minutes unless x-should-retry is false."""
    if kind == "THROTTLED":
        return {"Retry-After": "'1'"}
    return {"X-Should-Retry": "'false'"} if DEFAULT_RESPONSES[kind].status < 500 else {}


def allowed_networks(policy: dict[str, Any]) -> list[str] | None:
    """The networks that a resource policy allows, or None for every network.

    The policy must always exist, because API Gateway keeps an API's old policy if the template has none.
    """
    allow, *denied = policy["Statement"]
    assert allow == {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*"}
    if not denied:
        return None
    [deny] = denied
    assert (deny["Effect"], deny["Resource"]) == ("Deny", "execute-api:/*")
    return list(deny["Condition"]["NotIpAddress"]["aws:SourceIp"])


def test_client_token_is_allowed_or_denied_explicitly_on_every_route() -> None:
    """The resource policy allows every call that the authorizer's policy does not deny explicitly."""
    source = (ROOT / "functions/authorizer/app.py").read_text()
    constants = {
        node.target.id: node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
    }
    allowed = ast.literal_eval(constants["ALLOWED_PATHS"])["client"]
    methods = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
    denied = [f"/{method}/api/*" for method in methods]
    for path, operations in render()["Resources"]["Api"]["Properties"]["Body"]["paths"].items():
        for method, operation in operations.items():
            if operation.get("security", []) not in ([], [{"NONE": []}]):
                call = f"/{method.upper()}{path}"
                assert any(fnmatchcase(call, pattern) for pattern in [*allowed, *denied]), call


def test_web_acl_protects_the_stage() -> None:
    kind = "AWS::WAFv2::WebACLAssociation"
    [association] = of_type(kind, deployed({"WebAclArn": WEB_ACL})["Resources"]).values()

    assert not of_type(kind, deployed()["Resources"])
    assert association["WebACLArn"] == {"Ref": "WebAclArn"}
    assert "/restapis/${Api}/stages/${ApiprodStage}" in json.dumps(association["ResourceArn"])
    pattern = template()["Parameters"]["WebAclArn"]["AllowedPattern"]
    assert matches(pattern, [WEB_ACL, ""])
    assert not matches(pattern, ["gateway", WEB_ACL.replace("regional", "global"), WEB_ACL.replace("wafv2", "waf")])


def test_stage_is_redeployed_on_every_deployment() -> None:
    """SAM names a deployment by a hash of the API definition. A parameter inside Fn::If does not change that hash."""
    assert template()["Resources"]["Api"]["Properties"]["AlwaysDeploy"] is True


def stage() -> dict[str, Any]:
    [resource] = [r for r in render()["Resources"].values() if r["Type"] == "AWS::ApiGateway::Stage"]
    return dict(resource["Properties"])


def test_stage_throttles_every_method_and_logs_no_body() -> None:
    settings, *of_the_status_page = stage()["MethodSettings"]

    assert all(setting["ResourcePath"].startswith("/~1status") for setting in of_the_status_page)
    assert all(len(setting) == 4 for setting in of_the_status_page)
    assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
    assert settings["ThrottlingRateLimit"] == {"Ref": "ThrottleRate"}
    assert settings["ThrottlingBurstLimit"] == {"Ref": "ThrottleBurst"}
    # Data tracing logs prompts and responses.
    assert "DataTraceEnabled" not in settings
    # Execution logs contain the headers, with the token in x-api-key.
    assert "LoggingLevel" not in settings


def test_access_parameters_reject_wildcards_and_paths() -> None:
    pattern = template()["Parameters"]["AllowedOrigins"]["AllowedPattern"]

    assert matches(pattern, ORIGINS)
    assert not matches(pattern, ["*", "https://*", "https://a.example/path", "https://a.example, https://b", "null"])
    networks = template()["Parameters"]["AllowedCidrs"]["AllowedPattern"]
    assert matches(networks, CIDRS)
    assert matches(networks, ["198.51.100.7/32", "255.255.255.255/9"]) == ["198.51.100.7/32", "255.255.255.255/9"]
    lists = ["192.0.2.0/24, 192.0.3.0/24", "192.0.2.0/24,", ",192.0.2.0/24", "192.0.2.0/24192.0.3.0/24"]
    assert not matches(
        networks, ["192.0.2.0", "everybody", "192.0.2.0/33", "256.0.2.0/24", "192.0.02.0/24", "2001:db8::/32", *lists]
    )


def matches(pattern: str, values: Any) -> list[str]:
    return [value for value in values if re.fullmatch(pattern, value)]


def error_text(kind: str) -> str:
    """The body of the gateway response that API Gateway sends for a kind of failure."""
    declared = template()["Resources"]["Api"]["Properties"]["GatewayResponses"]
    family = "DEFAULT_4XX" if DEFAULT_RESPONSES[kind].status < 500 else "DEFAULT_5XX"
    return str(declared.get(kind, declared[family])["ResponseTemplates"]["application/json"])


# `messageString` may be null, and for an unreadable token it repeats the token.
SAFE_VARIABLES = re.compile(r"\$context\.(requestId|error\.responseType)\b(?!\.)")


@pytest.mark.parametrize("kind", DEFAULT_RESPONSES)
def test_gateway_responses_use_common_error_shape_and_only_safe_variables(kind: str) -> None:
    text = error_text(kind)

    body = json.loads(text)
    error = body.pop("error")

    # @ai-sdk/anthropic shows the message of an error only with this member.
    assert body == {"type": "error"}
    assert set(error) == {"message", "type", "code", "param"}
    assert "$" not in SAFE_VARIABLES.sub("", text)


@pytest.mark.parametrize("kind", DEFAULT_RESPONSES)
def test_gateway_responses_name_the_request_id_and_the_log_that_has_it(kind: str) -> None:
    message = json.loads(error_text(kind))["error"]["message"]
    function_ran = kind.startswith(("INTEGRATION_", "AUTHORIZER_")) or kind in (
        "DEFAULT_5XX",
        "API_CONFIGURATION_ERROR",
    )

    assert "request id $context.requestId" in message
    assert "when AccessLogs is on" in message
    assert ("function" in message) == function_ran


def test_unauthorized_response_names_the_headers_that_carry_a_token() -> None:
    """A gateway response cannot tell paths apart."""
    message = json.loads(error_text("UNAUTHORIZED"))["error"]["message"]

    assert "Paths under /anthropic read the header x-api-key: TOKEN" in message
    assert "for Authorization: Bearer TOKEN leave /anthropic out of the base URL" in message
    assert "All other paths read Authorization: Bearer TOKEN" in message


def test_not_found_response_says_which_base_urls_end_in_v1() -> None:
    message = json.loads(error_text("MISSING_AUTHENTICATION_TOKEN"))["error"]["message"]

    assert (
        "An OpenAI base URL ends in /v1; the base URL of Anthropic's own SDKs and of Claude Code does not." in message
    )


def test_each_authorizer_guards_its_paths_with_one_header() -> None:
    body = render()["Resources"]["Api"]["Properties"]["Body"]
    sources = {name: source_of(scheme) for name, scheme in body["components"]["securitySchemes"].items()}

    assert sources == {
        "TokenAuthorizer": ("token", "Authorization"),
        "ApiKeyAuthorizer": ("request", "method.request.header.x-api-key"),
    }
    for path, operations in body["paths"].items():
        expected = "ApiKeyAuthorizer" if path.startswith("/anthropic/") else "TokenAuthorizer"
        used = [operation.get("security", []) for operation in operations.values()]
        assert all(each in ([], [{"NONE": []}], [{expected: []}]) for each in used), path


def source_of(scheme: dict[str, Any]) -> tuple[str, str]:
    authorizer = scheme["x-amazon-apigateway-authorizer"]
    return authorizer["type"], authorizer.get("identitySource") or scheme["name"]


def test_both_authorizers_are_the_same_function() -> None:
    schemes = render()["Resources"]["Api"]["Properties"]["Body"]["components"]["securitySchemes"].values()
    uris = [json.dumps(scheme["x-amazon-apigateway-authorizer"]["authorizerUri"]) for scheme in schemes]

    assert len(uris) == 2
    assert len(set(uris)) == 1


def test_no_method_needs_an_api_key_of_api_gateway() -> None:
    """API Gateway would read x-api-key, which holds our token, as the API key of a usage plan, and may log its id."""
    types = {resource["Type"] for resource in render()["Resources"].values()}

    assert not {kind for kind in types if "UsagePlan" in kind or kind == "AWS::ApiGateway::ApiKey"}
    for text in (json.dumps(render(), default=str), json.dumps(template(), default=str)):
        assert not re.search("ApiKeyRequired|UsagePlan|api_key_required|ApiKeySourceType", text, re.IGNORECASE)


def test_outputs_name_a_base_url_for_each_kind_of_client() -> None:
    outputs = template()["Outputs"]

    for name, path in (("OpenAIBaseUrl", "/v1"), ("AnthropicBaseUrl", "/anthropic")):
        for value in outputs[name]["Value"]["Fn::If"][1:]:
            assert str(value["Fn::Sub"]).endswith(path)
