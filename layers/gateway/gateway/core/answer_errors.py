"""Errors for responses of a provider that no client could use. `errors.py` has all other errors and the tree."""

from gateway.core.errors import ForwardingError


class ProviderHeadTooLarge(ForwardingError):
    code = "provider_head_too_large"
    retryable = False


class NotJson(ForwardingError):
    code = "not_json"
    retryable = False


class NotACompletion(ForwardingError):
    """An answer that cannot be translated to a Response."""

    code = "not_a_completion"
    retryable = False


class EncodingUnsupported(ForwardingError):
    code = "encoding_unsupported"
    retryable = False
