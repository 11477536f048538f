"""Every way a call can fail, drawn once. Each error knows its HTTP status, its stable code and what to do about it.

GatewayError
├── InvalidRequest            400  what the caller sent
│   └── InvalidEndpoint
├── OriginNotAllowed          403
├── ProviderNotFound          404
├── Conflict                  409
│   ├── ApiKeyRequired
│   ├── TooManyProviders
│   └── DefaultProviderNeeded
├── PreconditionFailed        412  If-Match
├── RegistryBusy              503
├── NoProvider                503  nothing is registered
├── HeartbeatFailed           502  the heartbeat function, which the provider API asks
├── HeartbeatTimeout          504
├── RelayedError                        what another function met, as that one told it
├── KeyServiceFailed          503  KMS, which keeps the providers' keys secret
└── ForwardingError                between the gateway and the provider
    ├── ProviderUnreachable   502
    ├── ProviderDisconnected  502
    ├── RedirectRefused       502
    ├── EndpointRefused       502
    ├── KeyUnreadable         502
    ├── AnswerTruncated       502
    ├── StreamTruncated       502
    ├── NotAStream            502
    ├── ModelListUnusable     502
    ├── FirstByteTimeout      504
    ├── StreamIdleTimeout     504
    ├── DeadlineExceeded      504
    └── ProviderError           the provider's own status and words
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from gateway.core.redaction import redact

Source = Literal["gateway", "provider"]

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class GatewayError(Exception):
    """A failure in words that its reader can act on. Never holds a key, a token, a prompt or an answer."""

    status: int = 500
    code: str = "internal_error"
    type: str = "server_error"
    source: ClassVar[Source] = "gateway"
    retryable: bool = True

    def __init__(self, message: str, *, param: str | None = None) -> None:
        self.message = redact(message)  # the name of an unknown field may be a key, pasted into the wrong place
        self.param = None if param is None else redact(param)
        super().__init__(self.message)

    def body(self) -> dict[str, dict[str, Any]]:
        """The one error shape of every answer."""
        return {
            "error": {"message": self.message, "type": self.type, "code": self.code, "param": self.param},
        }

    def told(self) -> dict[str, Any]:
        """Plain data from which another function makes a RelayedError."""
        return {"status": self.status, **self.body()["error"]}


class InvalidRequest(GatewayError):
    status = 400
    code = "invalid_request"
    type = "invalid_request_error"
    retryable = False


class InvalidEndpoint(InvalidRequest):
    code = "invalid_endpoint"

    def __init__(self, message: str) -> None:
        super().__init__(message, param="endpoint")


class OriginNotAllowed(GatewayError):
    status = 403
    code = "origin_not_allowed"
    type = "permission_error"
    retryable = False

    def __init__(self) -> None:
        super().__init__(
            "Web pages of this origin may not call the gateway. The parameter AllowedOrigins of its stack names those "
            "that may."
        )


class ProviderNotFound(GatewayError):
    status = 404
    code = "provider_not_found"
    type = "invalid_request_error"
    retryable = False

    def __init__(self) -> None:
        super().__init__("No provider has this id. GET /api/v1/providers lists those that are registered.", param="id")


class Conflict(GatewayError):
    status = 409
    code = "conflict"
    type = "invalid_request_error"
    retryable = False


class ApiKeyRequired(Conflict):
    code = "api_key_required"

    def __init__(self) -> None:
        super().__init__(
            "The endpoint moves to another origin, and a stored key never travels to a new host. "
            'Send api_key again with the new endpoint, or "api_key": "" to go without one.',
            param="api_key",
        )


class TooManyProviders(Conflict):
    code = "too_many_providers"

    def __init__(self, most: int) -> None:
        super().__init__(f"At most {most} providers can be registered. Delete one first.")


class DefaultProviderNeeded(Conflict):
    code = "default_provider_needed"

    def __init__(self) -> None:
        super().__init__(
            'This is the default provider. Register another one with "default": true first.', param="default"
        )


class PreconditionFailed(GatewayError):
    status = 412
    code = "precondition_failed"
    type = "invalid_request_error"
    retryable = False

    def __init__(self) -> None:
        super().__init__(
            "The provider is no longer as If-Match names it: it was changed or deleted meanwhile, or the default is "
            "another one now. Read it again, and repeat the change with its new ETag if it is still wanted.",
            param="If-Match",
        )


class RegistryBusy(GatewayError):
    status = 503
    code = "registry_busy"

    def __init__(self) -> None:
        super().__init__("Others changed the registry at the same time, again and again. Try again in a second.")


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

    def __init__(self, what: str = "failed or could not be started") -> None:
        super().__init__(
            f"The heartbeat function, which asks the provider, {what}. Try again; if it stays so, look at its logs."
        )


class HeartbeatTimeout(GatewayError):
    status = 504
    code = "heartbeat_timeout"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The heartbeat function, which asks the provider, had not answered after {seconds:g} s. "
            "Try again; if it stays so, look at its logs."
        )


class RelayedError(GatewayError):
    """What another function met: `told()` there, this here."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(told["message"], param=told["param"])
        self.status, self.code, self.type = told["status"], told["code"], told["type"]


class KeyServiceFailed(GatewayError):
    """KMS does not encrypt or decrypt now. The stored keys are as they were."""

    status = 503
    code = "key_service_failed"


class ForwardingError(GatewayError):
    """Something between the gateway and the provider."""

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
        super().__init__("The provider's answer broke off before its end, and half of one is of no use. Try again.")


class StreamTruncated(ForwardingError):
    code = "stream_truncated"

    def __init__(self) -> None:
        super().__init__(
            "The provider ended the stream before it was whole. What came so far is incomplete: try again."
        )


class NotAStream(ForwardingError):
    code = "not_a_stream"
    retryable = False

    def __init__(self) -> None:
        super().__init__(
            "A stream was asked for, and the provider's answer is none. Ask without stream; "
            "if it is a web page that answers, register TokenHub's own address."
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
    """The provider's own refusal: its status and its words, in our shape."""

    source = "provider"

    def __init__(self, status: int, message: str, *, code: str, retryable: bool) -> None:
        super().__init__(message)
        self.status = status
        self.type = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
        self.code = code
        self.retryable = retryable
