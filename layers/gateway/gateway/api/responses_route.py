"""The description and the errors of /v1/responses in the OpenAPI document."""

from gateway.core.answer_errors import NotACompletion
from gateway.core.errors import GatewayError
from gateway.core.request_errors import UnsupportedParameter

DESCRIPTION = (
    "Forwarded unchanged if the provider serves this path. TokenHub does not serve it: the gateway then translates the "
    "request to chat completions and the answer to a Response, and sets X-Translated to `responses`. The gateway "
    "stores nothing, so it rejects `previous_response_id`, `background`, `item_reference` and the tools that OpenAI "
    "runs with 400. A broken stream ends with `response.failed`."
)
# The errors of the translation.
ERRORS: tuple[type[GatewayError], ...] = (UnsupportedParameter, NotACompletion)
