"""The TLS context of all connections that the gateway opens itself."""

import ssl
from functools import cache

import certifi


@cache
def tls_context() -> ssl.SSLContext:
    """Returns a context that trusts certifi's authorities. Loading them takes 25 ms of CPU time, so it is done once."""
    return ssl.create_default_context(cafile=certifi.where())
