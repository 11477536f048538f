"""The provider API starts the first beat of a provider over a connection that it reuses."""

import json

import pytest

from tests.functions.conftest import Context, Load, event
from tests.scripted_server import ScriptedServer, always, answer


def test_reuses_the_connection_to_lambda(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(always(answer(202))) as lambda_service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", lambda_service.url.removesuffix("/v1"))
        app = load("providers")
        for id_ in ("first", "second"):
            body = json.loads(event("register")["body"]) | {"id": id_}
            assert app.handler(event("register", body=json.dumps(body)), Context())["statusCode"] == 201

        types = [request.headers["x-amz-invocation-type"] for request in lambda_service.requests]
        assert types == ["Event", "Event"]
        assert lambda_service.connections == 1
