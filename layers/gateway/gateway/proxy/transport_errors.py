"""Translates httpx's errors into the gateway's. No other module translates them."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from gateway.core.answer_errors import ProviderHeadTooLarge
from gateway.core.errors import (
    EndpointRefused,
    ForwardingError,
    InvalidEndpoint,
    ProviderDisconnected,
    ProviderUnreachable,
)
from gateway.proxy.connect import unreachable

# httpcore's limit, h11's text.
MAX_HEAD_KB = 100
HEAD_TOO_LARGE = "Receive buffer too long"
# httpcore's text.
NO_RESPONSE = "Server disconnected without sending a response"


def is_dropped(error: httpx.TransportError) -> bool:
    """Whether the connection ended before a response, as a kept one does that the provider had closed."""
    return isinstance(error, (httpx.ReadError, httpx.WriteError)) or NO_RESPONSE in str(error)


@contextmanager
def translated_errors(
    endpoint: str, timed_out: ForwardingError, broken: ForwardingError | None = None
) -> Iterator[None]:
    """Raises `timed_out` for a timeout and `broken` for a connection that breaks. None: no response has begun."""
    try:
        yield
    except InvalidEndpoint:
        raise EndpointRefused(
            f"{endpoint} resolves to an address that the gateway must not call. Correct its DNS entry."
        ) from None
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise ProviderUnreachable(unreachable(endpoint, error)) from None
    except httpx.TimeoutException:
        raise timed_out from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
        raise ProviderUnreachable(f"{endpoint} is not a valid URL. Register the provider with a valid one.") from None
    except httpx.TransportError as error:
        if broken is None and HEAD_TOO_LARGE in str(error):
            raise ProviderHeadTooLarge(
                f"{endpoint} sent a status and headers of over {MAX_HEAD_KB} KB. Check the server in front of TokenHub."
            ) from None
        raise broken or ProviderDisconnected(
            f"{endpoint} closed the connection without an HTTP response. "
            "Try again; if it happens again, check the port, `tokenhubctl health` and TokenHub's standard error."
        ) from None
