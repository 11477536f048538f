"""Calls the provider API as API Gateway does."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.functions.conftest import Context, event

ENDPOINT = "http://localhost:8090/v1"


@dataclass
class ApiResponse:
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def error(self) -> tuple[int, str, str | None]:
        assert (set(self.body), self.body["type"]) == ({"type", "error"}, "error")
        assert set(self.body["error"]) == {"message", "type", "code", "param"}
        return self.status, self.body["error"]["code"], self.body["error"]["param"]

    @property
    def etag(self) -> str:
        return self.headers["ETag"]


@dataclass
class Api:
    """Calls the handler. `beaten` has the ids of the providers whose heartbeat it started."""

    app: Any
    beaten: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app.lambdas.meta.events.register("provide-client-params.lambda.Invoke", self._note)

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        assert params["InvocationType"] == "Event"
        self.beaten.append(json.loads(params["Payload"])["provider_id"])

    def __call__(
        self, method: str, id_: str = "", body: Any = None, if_match: str | list[str] | None = None
    ) -> ApiResponse:
        """`id_` "/" calls the list with a slash at its end. `if_match` is one header line or several."""
        lines = [if_match] if isinstance(if_match, str) else if_match
        headers = {"content-type": ["application/json"]} | ({} if lines is None else {"if-match": lines})
        request = event(
            "list",
            httpMethod=method,
            path=f"/api/v1/providers/{id_.removeprefix('/')}" if id_ else "/api/v1/providers",
            resource="/api/v1/providers/{id}" if id_ else "/api/v1/providers",
            headers={name: values[-1] for name, values in headers.items()},
            multiValueHeaders=headers,
            body=None if body is None else json.dumps(body),
        )
        answer = self.app.handler(request, Context())
        sent = {name: values[0] for name, values in answer.get("multiValueHeaders", {}).items()}
        text = answer.get("body")
        return ApiResponse(answer["statusCode"], json.loads(text) if text else None, sent | answer.get("headers", {}))

    def post(self, id_: str = "main", **fields: Any) -> ApiResponse:
        return self("POST", body={"id": id_, "endpoint": ENDPOINT} | fields)
