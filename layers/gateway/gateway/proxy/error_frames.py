"""The frames that end a broken stream. SDKs raise an exception on them."""

import json

from gateway.core.errors import GatewayError


def error_frame(error: GatewayError, *, mid_frame: bool = False) -> bytes:
    """Returns the frame that ends a stream of chat completions or Anthropic messages.

    The order matters. The Anthropic SDK and langchain4j need the name of the event. go-openai needs the data line first
    and `error` as its first key.
    """
    details = error.body()["error"] | {"source": error.source, "status": error.status, "retryable": error.retryable}
    data = json.dumps({"error": details, "type": "error"})
    return _after(mid_frame) + f"data: {data}\nevent: error\n\n".encode()


def failed_response_frame(error: GatewayError, response_id: str, sequence_number: int, *, mid_frame: bool) -> bytes:
    """Returns the event `response.failed`, which ends a stream of OpenAI's Responses. Codex reports no other event."""
    response: dict[str, object] = {
        "id": response_id,
        "object": "response",
        "status": "failed",
        "error": {"code": response_error_code(error), "message": error.message},
        "incomplete_details": None,
        "output": [],
    }
    data = json.dumps({"type": "response.failed", "sequence_number": sequence_number, "response": response})
    return _after(mid_frame) + f"event: response.failed\ndata: {data}\n\n".encode()


def response_error_code(error: GatewayError) -> str:
    """Returns the `code` of a Response's error, one of the fixed list that Codex and OpenAI's SDKs know.

    Codex sends the request again unless the code is `invalid_prompt`.
    """
    if error.status == 429:
        return "rate_limit_exceeded"
    return "server_error" if error.retryable else "invalid_prompt"


def _after(mid_frame: bool) -> bytes:
    return b"\n\n" if mid_frame else b""
