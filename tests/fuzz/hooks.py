"""Hooks and checks for Schemathesis. It runs in .local/fuzz, so this module imports no code of the repository."""

import json
import os
import re
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

KEY = os.environ["FUZZ_KEY"]
ID = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Makes valid values consistent where the schema cannot express the rule. Leaves invalid values unchanged."""
    if not isinstance(case.body, dict):
        return
    # Other cases share the body.
    body = case.body.copy()
    # The default provider always has a key. Without one TokenHub would answer every /v1 request with a 401.
    if body.get("api_key") == "" or (body.get("default") is True and body.get("api_key") is None):
        body["api_key"] = KEY
    # The id in the body must equal the id in the path.
    path_id = case.path_parameters.get("id")
    if _is_id(path_id) and _is_id(body.get("id")):
        body["id"] = path_id
    case.body = body


def _is_id(value: object) -> bool:
    return isinstance(value, str) and ID.fullmatch(value) is not None


@schemathesis.check
def one_error_shape(ctx: CheckContext, response: Response, case: Case) -> None:
    """Checks the shape of every error, and that the document lists its code for the operation and the status.

    A check of the status alone is not enough: the document has 4XX and 5XX for API Gateway's own errors.
    """
    # A response to HEAD has no body.
    if response.status_code < 400 or response.request.method == "HEAD":
        return
    body = json.loads(response.text)
    assert (body.keys(), body["type"]) == ({"type", "error"}, "error"), "not the common error shape"
    assert body["error"].keys() == {"message", "type", "code", "param"}, "not the common error shape"
    code = body["error"]["code"]
    assert f"`{code}`" in _description(case, response), f"the document has no {code} for this call and status"


def _description(case: Case, response: Response) -> str:
    """Returns the description of the response in the document. A method without an operation gets `not_found`."""
    if response.request.method != case.operation.method.upper():
        return "`not_found`"
    responses = case.operation.definition.raw["responses"]
    status = response.status_code
    return str(responses.get(str(status), responses.get(f"{status // 100}XX", {})).get("description"))
