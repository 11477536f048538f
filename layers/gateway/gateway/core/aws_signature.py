"""Signs requests to AWS with Signature Version 4, as botocore's SigV4Auth does.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

ALGORITHM = "AWS4-HMAC-SHA256"


class AnyCredentials(Protocol):
    """Credentials of ours or of botocore. `token` is None for a user's permanent access key."""

    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...
    @property
    def token(self) -> str | None: ...


@dataclass(frozen=True)
class Credentials:
    """Fixed credentials, as Lambda passes them to an execution environment."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def signed_headers(
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: AnyCredentials,
    region: str,
    service: str,
    now: datetime,
    path: str = "/",
) -> dict[str, str]:
    """Returns the headers of a signed POST to `path`. `headers` has lower-case names and includes `host`.

    Every header is signed. `now` is in UTC. `path` needs no percent-encoding.
    """
    time = now.strftime("%Y%m%dT%H%M%SZ")
    signed = dict(headers) | {"x-amz-date": time}
    if credentials.token is not None:
        signed["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    canonical = f"POST\n{path}\n\n{lines}\n{names}\n{_sha256(body)}"
    scope = f"{time[:8]}/{region}/{service}/aws4_request"
    to_sign = f"{ALGORITHM}\n{time}\n{scope}\n{_sha256(canonical.encode())}"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, to_sign).hex()
    authorization = (
        f"{ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return signed | {"authorization": authorization}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
