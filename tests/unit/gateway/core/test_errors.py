import re

import pytest

from gateway.core import answer_errors, errors, request_errors, status_errors
from gateway.core.errors import GatewayError


def tree(kind: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in tree(below))]


def examples() -> list[GatewayError]:
    return [
        errors.InternalError("request-1"),
        errors.InvalidRequest("x"),
        errors.InvalidEndpoint("x"),
        errors.ProviderNotFound(),
        errors.Conflict("x"),
        errors.ApiKeyRequired(),
        errors.TooManyProviders(7),
        errors.DefaultProviderNeeded(),
        errors.PreconditionFailed(),
        errors.RegistryBusy(),
        errors.NoProvider(),
        errors.KeyServiceFailed("x"),
        errors.ProviderUnreachable("x"),
        errors.ProviderDisconnected("x"),
        errors.RedirectRefused("x"),
        errors.EndpointRefused("x"),
        errors.KeyUnreadable(),
        errors.AnswerTruncated(),
        errors.StreamTruncated(),
        errors.NotAStream(),
        errors.FirstByteTimeout("x"),
        errors.StreamIdleTimeout("x"),
        errors.DeadlineExceeded("x"),
    ]


def test_the_docstring_draws_every_error() -> None:
    # A class counts only once its module is imported.
    assert {answer_errors.NotJson, request_errors.InvalidMetadata, status_errors.StatusPageOff} <= set(tree())
    _, tree_text = (errors.__doc__ or "").split("\n\n")
    # Two spaces separate the names of a line from their description.
    drawn = {
        name for line in tree_text.splitlines() for name in re.findall(r"[A-Z]\w+", line.lstrip("│├└─ ").split("  ")[0])
    }
    assert drawn == {kind.__name__ for kind in tree()}


def test_no_two_errors_share_a_code() -> None:
    codes = [error.code for error in examples()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("code", "status", "retryable"),
    [
        ("internal_error", 500, True),
        ("invalid_request", 400, False),
        ("invalid_endpoint", 400, False),
        ("provider_not_found", 404, False),
        ("api_key_required", 409, False),
        ("too_many_providers", 409, False),
        ("default_provider_needed", 409, False),
        ("precondition_failed", 412, False),
        ("registry_busy", 503, True),
        ("no_provider", 503, False),
        ("key_service_failed", 503, True),
        ("provider_unreachable", 502, True),
        ("provider_disconnected", 502, True),
        ("redirect_refused", 502, False),
        ("endpoint_refused", 502, False),
        ("key_unreadable", 502, False),
        ("answer_truncated", 502, True),
        ("stream_truncated", 502, True),
        ("not_a_stream", 502, False),
        ("first_byte_timeout", 504, True),
        ("stream_idle_timeout", 504, True),
        ("deadline", 504, True),
    ],
)
def test_each_code_keeps_its_status_and_retryability(code: str, status: int, retryable: bool) -> None:
    error = next(error for error in examples() if error.code == code)
    assert (error.status, error.retryable) == (status, retryable)


def test_body_has_the_shape_of_all_errors() -> None:
    assert errors.InvalidEndpoint("say it so").body() == {
        "type": "error",
        "error": {
            "message": "say it so",
            "type": "invalid_request_error",
            "code": "invalid_endpoint",
            "param": "endpoint",
        },
    }


def test_every_message_is_a_sentence() -> None:
    for error in examples():
        assert error.body()["error"]["message"] == error.message == str(error)
    own_words = [error.message for error in examples() if error.message != "x"]
    assert own_words
    assert all(message.endswith(".") and " " in message for message in own_words)


def test_too_many_providers_names_the_limit() -> None:
    assert "At most 7 providers" in errors.TooManyProviders(7).message


def test_only_provider_errors_have_the_provider_as_source() -> None:
    refused = errors.ProviderError(429, "slow down", code="provider_rate_limited", retryable=True)
    assert (refused.source, refused.status, refused.code) == ("tokenhub", 429, "provider_rate_limited")
    assert {error.source for error in examples()} == {"gateway"}


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "invalid_request_error"),
        (429, "rate_limit_error"),
        (499, "invalid_request_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_derives_the_type_from_the_status(status: int, type_: str) -> None:
    refused = errors.ProviderError(status, "no", code="any", retryable=False)
    assert refused.body()["error"]["type"] == type_


def test_a_provider_error_does_not_change_its_class() -> None:
    errors.ProviderError(429, "slow down", code="provider_rate_limited", retryable=False)
    assert (errors.ForwardingError.status, errors.ForwardingError.retryable) == (502, True)


def test_errors_redact_keys() -> None:
    pasted = "tokenhub_0123456789abcdef"
    error = errors.InvalidRequest(f"unknown field {pasted}", param=pasted)

    assert pasted not in str(error.body())
    assert (error.message, error.param) == ("unknown field [redacted]", "[redacted]")
