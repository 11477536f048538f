"""What the OpenAPI document says about /v1/responses."""

from gateway.core.answer_errors import NotACompletion
from gateway.core.errors import GatewayError
from gateway.core.request_errors import UnsupportedParameter

DESCRIPTION = (
    "Forwarded to a provider that serves it. TokenHub does not, so the gateway translates the request for its "
    "/chat/completions and the answer back; X-Translated is then `responses`. Nothing is stored: "
    "`previous_response_id`, `background`, `item_reference` and the tools that OpenAI runs are a 400. A broken stream "
    "ends with `response.failed`."
)
# The errors of the translation.
ERRORS: tuple[type[GatewayError], ...] = (UnsupportedParameter, NotACompletion)
