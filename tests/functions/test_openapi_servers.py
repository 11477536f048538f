"""The server of the OpenAPI document is the base path of the request."""

import json

import pytest

from tests.functions.conftest import Context, Load, event


@pytest.mark.parametrize(
    ("platform", "path", "server"),
    [
        ("aws", "/prod/api/v1/openapi.json", "/prod"),
        # A custom domain, then one with a base path.
        ("aws", "/api/v1/openapi.json", "/"),
        ("aws", "/gateway/api/v1/openapi.json", "/gateway"),
        ("local", "/prod/api/v1/openapi.json", "/"),
    ],
)
def test_the_server_is_the_base_path_of_the_request(
    load: Load, monkeypatch: pytest.MonkeyPatch, platform: str, path: str, server: str
) -> None:
    monkeypatch.setenv("PLATFORM", platform)
    request = event("openapi")
    request["requestContext"]["path"] = path

    answer = load("providers").handler(request, Context())

    assert json.loads(answer["body"])["servers"] == [{"url": server}]
