"""All errors of the gateway. Each has an HTTP status, a stable code and a message that says what to do.

GatewayError
├── InternalError             500  an unexpected exception
├── InvalidRequest            400
│   └── InvalidEndpoint; InvalidMetadata, UnsupportedParameter (request_errors.py)
├── OriginNotAllowed          403
├── ProviderNotFound          404
├── StatusPageOff, ProviderNotHealthy  404 and 503 (status_errors.py)
├── Conflict                  409
│   ├── ApiKeyRequired
│   ├── TooManyProviders
│   └── DefaultProviderNeeded
├── PreconditionFailed        412  the ETag in If-Match is outdated
├── RegistryBusy              503
├── NoProvider                503  the registry is empty
├── HeartbeatFailed, HeartbeatTimeout, RelayedError  of the heartbeat function
├── KeyServiceFailed          503  KMS
└── ForwardingError                between the gateway and the provider
    ├── 502: ProviderUnreachable, ProviderDisconnected, RedirectRefused, EndpointRefused, KeyUnreadable,
    │        AnswerTruncated, StreamTruncated, NotAStream, ModelListUnusable
    ├── 502: ProviderHeadTooLarge, NotJson, NotACompletion, EncodingUnsupported (answer_errors.py)
    ├── 504: FirstByteTimeout, StreamIdleTimeout, DeadlineExceeded
    └── ProviderError              the provider's own status and message
"""

from collections.abc import Mapping
from typing import Any, Literal

from gateway.core.redaction import redact

Source = Literal["gateway", "tokenhub", "model"]
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class GatewayError(Exception):
    """Base of all errors. Its message never contains a key, a token, a prompt or an answer."""

    status: int = 500
    code: str = "internal_error"
    source: Source = "gateway"
    retryable: bool = True
    own_type: str | None = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        # The name of an unknown field may be a key that was pasted into the wrong place.
        self.message = redact(message)
        self.param = None if param is None else redact(param)
        super().__init__(self.message)

    @property
    def type(self) -> str:
        return self.own_type or TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")

    def body(self) -> dict[str, Any]:
        """Returns the JSON body of the error response: one shape. Anthropic SDKs read the outer `type`."""
        details = {"message": self.message, "type": self.type, "code": self.code, "param": self.param}
        return {"type": "error", "error": details}

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data, from which another function builds a RelayedError."""
        return {"status": self.status, **self.body()["error"]}


class InternalError(GatewayError):
    """An unexpected exception. Its code and status are those of GatewayError."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"The gateway failed. Quote request id {request_id} to its operator.")


class InvalidRequest(GatewayError):
    status = 400
    code = "invalid_request"
    retryable = False


class InvalidEndpoint(InvalidRequest):
    code = "invalid_endpoint"

    def __init__(self, message: str) -> None:
        super().__init__(message, param="endpoint")


class OriginNotAllowed(GatewayError):
    status = 403
    code = "origin_not_allowed"
    retryable = False

    def __init__(self) -> None:
        super().__init__(
            "Web pages of this origin may not call the gateway. Add the origin to the stack's parameter AllowedOrigins."
        )


class ProviderNotFound(GatewayError):
    status = 404
    code = "provider_not_found"
    retryable = False

    def __init__(self) -> None:
        super().__init__("No provider has this id. GET /api/v1/providers lists the registered ones.", param="id")


class Conflict(GatewayError):
    status = 409
    code = "conflict"
    retryable = False


class ApiKeyRequired(Conflict):
    code = "api_key_required"

    def __init__(self) -> None:
        super().__init__(
            "The new endpoint has another origin, and the gateway never sends a stored key to a new host. "
            'Send api_key with the new endpoint, or "api_key": "" to use no key.',
            param="api_key",
        )


class TooManyProviders(Conflict):
    code = "too_many_providers"

    def __init__(self, limit: int) -> None:
        super().__init__(f"At most {limit} providers can be registered. Delete one first.")


class DefaultProviderNeeded(Conflict):
    code = "default_provider_needed"

    def __init__(self) -> None:
        super().__init__(
            'This is the default provider. Make another one the default first, with "default": true.', param="default"
        )


class PreconditionFailed(GatewayError):
    status = 412
    code = "precondition_failed"
    retryable = False

    def __init__(self) -> None:
        super().__init__(
            "The ETag in If-Match is outdated: the provider was changed or deleted, or another one became the default. "
            "Read the provider again, and repeat the change with its new ETag.",
            param="If-Match",
        )


class RegistryBusy(GatewayError):
    status = 503
    code = "registry_busy"

    def __init__(self) -> None:
        super().__init__("Other requests changed the registry at the same time. Try again in a second.")


class NoProvider(GatewayError):
    status = 503
    code = "no_provider"
    retryable = False

    def __init__(self) -> None:
        super().__init__(
            "No provider is registered. Register TokenHub with POST /api/v1/providers; the README shows the command."
        )


class HeartbeatFailed(GatewayError):
    status = 502
    code = "heartbeat_failed"

    def __init__(self, reason: str = "failed or could not be started") -> None:
        super().__init__(f"The heartbeat function {reason}. Try again; if it fails again, read its logs.")


class HeartbeatTimeout(GatewayError):
    status = 504
    code = "heartbeat_timeout"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The heartbeat function did not answer within {seconds:g} s. Try again; if it fails again, read its logs."
        )


class RelayedError(GatewayError):
    """An error of another function, from its `to_dict()`."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error["message"], param=error["param"])
        self.status, self.code = error["status"], error["code"]


class KeyServiceFailed(GatewayError):
    """KMS failed to encrypt or decrypt. The stored keys are unchanged."""

    status = 503
    code = "key_service_failed"


class ForwardingError(GatewayError):
    """Base of the errors between the gateway and the provider."""

    status = 502


class ProviderUnreachable(ForwardingError):
    code = "provider_unreachable"


class ProviderDisconnected(ForwardingError):
    code = "provider_disconnected"


class RedirectRefused(ForwardingError):
    code = "redirect_refused"
    retryable = False


class EndpointRefused(ForwardingError):
    code = "endpoint_refused"
    retryable = False


class KeyUnreadable(ForwardingError):
    code = "key_unreadable"
    retryable = False

    def __init__(self) -> None:
        super().__init__("The provider's stored key cannot be decrypted. Register the provider again with its api_key.")


class AnswerTruncated(ForwardingError):
    code = "answer_truncated"

    def __init__(self) -> None:
        super().__init__("The provider's answer ended before it was complete. Try again.")


class StreamTruncated(ForwardingError):
    code = "stream_truncated"

    def __init__(self) -> None:
        super().__init__(
            "The provider ended the stream before it was complete. Discard the received part and try again."
        )


class NotAStream(ForwardingError):
    code = "not_a_stream"
    retryable = False

    def __init__(self) -> None:
        super().__init__(
            'The request has "stream": true, but the provider did not answer with a stream. Send it without "stream". '
            "If the answer is a web page, register TokenHub's own address."
        )


class ModelListUnusable(ForwardingError):
    code = "model_list_unusable"
    retryable = False


class FirstByteTimeout(ForwardingError):
    status = 504
    code = "first_byte_timeout"


class StreamIdleTimeout(ForwardingError):
    status = 504
    code = "stream_idle_timeout"


class DeadlineExceeded(ForwardingError):
    status = 504
    code = "deadline"


class ProviderError(ForwardingError):
    """An error response of the provider. `source` is `model` where TokenHub relays it from a model's provider."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        retryable: bool,
        source: Source = "tokenhub",
        own_type: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retryable = retryable
        self.source = source
        self.own_type = own_type
