"""What Schemathesis is told besides the document. Runs in .local/fuzz, so nothing of ours is imported."""

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
    """What has to fit together, and no schema says so. What is not valid by itself stays as it is."""
    if not isinstance(case.body, dict):
        return
    body = case.body.copy()  # other cases share it
    # Whoever is the default has a key: TokenHub takes nothing without one, and all of /v1 would end in a 401.
    if body.get("api_key") == "" or (body.get("default") is True and body.get("api_key") is None):
        body["api_key"] = KEY
    # An id never changes: the body's is the path's.
    asked = case.path_parameters.get("id")
    if _is_id(asked) and _is_id(body.get("id")):
        body["id"] = asked
    case.body = body


def _is_id(value: object) -> bool:
    return isinstance(value, str) and ID.fullmatch(value) is not None


@schemathesis.check
def one_error_shape(ctx: CheckContext, response: Response, case: Case) -> None:
    """Every error has the one shape, and a code that the document has for that call and status.

    The document has a 4XX and a 5XX for API Gateway's own answers, so that the status alone shows nothing.
    """
    if response.status_code < 400:
        return
    body = json.loads(response.text)
    assert body.keys() - {"type"} == {"error"}, "not the one error shape"  # type: for the Anthropic SDK
    assert body["error"].keys() == {"message", "type", "code", "param"}, "not the one error shape"
    code = body["error"]["code"]
    assert f"`{code}`" in _told(case, response), f"the document has no {code} for this call and status"


def _told(case: Case, response: Response) -> str:
    """The document's words for such an answer."""
    if response.request.method != case.operation.method.upper():
        return "`not_found`"  # a method that there is not
    answers = case.operation.definition.raw["responses"]
    status = response.status_code
    return str(answers.get(str(status), answers.get(f"{status // 100}XX", {})).get("description"))
