"""Malformed requests for the key canary: start lines, headers, chunk sizes and bodies with the key and a prompt."""

import gzip
import json
import socket
from collections.abc import Mapping

from tests.e2e.canary import KEY, PROMPT
from tests.malformed_http import malformed_requests

_KEY = KEY.encode()
_SECRETS = f"{KEY}.{PROMPT}".encode()
# Longer than the local API server waits for the rest of a body.
_TIMEOUT_S = 60

MALFORMED_HTTP = malformed_requests(_SECRETS)

# Valid HTTP, so a function parses each body.
MALFORMED_BODIES: Mapping[str, bytes] = {
    "JSON that ends early": b'{"api_key": "' + _SECRETS,
    "no JSON": _SECRETS,
    "a string": json.dumps(_SECRETS.decode()).encode(),
    "invalid UTF-8": b'{"messages": "\xff' + _SECRETS + b'"}',
    "a lone surrogate": b'{"messages": "\\ud800' + _SECRETS + b'"}',
    "a repeated name": b'{"' + _SECRETS + b'": 1, "' + _SECRETS + b'": 2}',
    "deep nesting": b'["' + _SECRETS + b'", ' + b"[" * 5000,
    "compressed data": gzip.compress(b'{"api_key": "' + _SECRETS + b'"}'),
}

# Valid HTTP, so the authorizer reads the first two and the functions the others. A caller's request id is logged by
# design, so they contain no prompt.
MALFORMED_HEADERS: Mapping[str, Mapping[str, bytes]] = {
    "a token with invalid UTF-8": {"Authorization": b"Bearer \xff" + _KEY, "x-api-key": b"\xff" + _KEY},
    "a token with a tab": {
        "Authorization": b"Bearer " + _KEY + b"\t" + _KEY,
        "x-api-key": _KEY + b"\t" + _KEY,
    },
    "a provider id with invalid UTF-8": {"X-Provider-Id": b"\xff" + _KEY},
    "labels that are not JSON": {"X-Gateway-Metadata": b'{"' + _KEY},
    "a trace header with invalid fields": {"traceparent": b"00-" + _KEY, "X-Request-ID": b"\xff" + _KEY},
}


def send(port: int, request: bytes) -> str:
    """Sends bytes to a server of this machine and returns all that it sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")
