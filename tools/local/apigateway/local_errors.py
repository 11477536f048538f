"""Errors that only the local system sends, in the gateway's error shape. docs/local.md lists them."""

import json

from tools.local.apigateway.gateway_responses import HttpResponse


class LocalError(Exception):
    """A request that the local system refuses. AWS has no such limit."""

    status = 500
    type = "server_error"
    code = "local_error"
    retry_after_s: int | None = None

    def response(self, request_id: str) -> HttpResponse:
        """Returns the response. Clients retry it only if `retry_after_s` is set."""
        error = {"message": str(self), "type": self.type, "code": self.code, "param": None}
        headers = {"Content-Type": "application/json", "X-Request-Id": request_id}
        if self.retry_after_s is None:
            headers["X-Should-Retry"] = "false"
        else:
            headers["Retry-After"] = str(self.retry_after_s)
        return HttpResponse(self.status, tuple(headers.items()), json.dumps({"type": "error", "error": error}).encode())


class ForbiddenHost(LocalError):
    """The Host header may come from a web page whose host name resolves to this machine."""

    status = 403
    type = "permission_error"
    code = "forbidden_host"

    def __init__(self) -> None:
        super().__init__(
            "The Host header does not name this machine. Call the gateway by localhost, 127.0.0.1 or [::1]."
        )


class MalformedRequest(LocalError):
    """The bytes are not a valid HTTP request. The message quotes none of them, because they may contain a token."""

    status = 400
    type = "invalid_request_error"
    code = "bad_request"

    def __init__(self) -> None:
        super().__init__(
            "The request is not well-formed HTTP/1.1, or a header is over 8 KB. Check its start line and its headers."
        )


class StreamLimit(LocalError):
    """The maximum number of requests on /v1 is running."""

    status = 429
    type = "rate_limit_error"
    code = "local_limit"
    retry_after_s = 1

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The local system runs at most {limit} requests on /v1 at once. Try again when one has ended, or start it "
            f"with a higher limit: make dev STREAMS={limit * 2}"
        )


class QueueLimit(LocalError):
    """A request waited too long for a process of its function, or too many requests already wait."""

    status = 429
    type = "rate_limit_error"
    code = "local_limit"
    retry_after_s = 1

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The local system runs at most {limit} requests of this kind at once, and too many are waiting. Try again "
            "in a second."
        )


class NotSaved(LocalError):
    """The last snapshot failed, so a change could be lost."""

    status = 507
    code = "not_saved"
    retry_after_s = 5

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The local system cannot save its state: {reason}. The change was rejected. Free space on the disk of its "
            "state folder and try again."
        )
