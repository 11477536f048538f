"""Calls the AWS services whose operations are a POST with JSON, without botocore's clients.

It serves all calls of the authorizer, of completions and of the heartbeat: boto3 delays a cold start and would double
the CPU time of a tick (docs/benchmarks.md). The other functions use boto3. The errors are botocore's, and the tests
compare the signatures and endpoints with botocore's.
"""

import json
import random
import select
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, cast
from urllib.parse import urlsplit

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as AwsConnectionError

from gateway.core.aws_settings import AwsSettings
from gateway.core.aws_signature import AnyCredentials, Credentials, signed_headers
from gateway.core.sam_local import local_aws_check
from gateway.core.tls import tls_context

# The domain of each partition's services, by the prefix of its regions. All other regions use amazonaws.com.
DOMAINS = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
}
# The throttling and transient error codes of botocore's standard retry mode (botocore/retries/standard.py).
RETRYABLE_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)


@dataclass(frozen=True)
class Service:
    """A service. `name` appears in endpoints and signatures, `target_prefix` in front of the name of an operation."""

    name: str
    target_prefix: str
    json_version: str


DYNAMODB = Service("dynamodb", "DynamoDB_20120810", "1.0")
EVENTS = Service("events", "AWSEvents", "1.1")
KMS = Service("kms", "TrentService", "1.1")
SECRETS_MANAGER = Service("secretsmanager", "secretsmanager", "1.1")


@dataclass(frozen=True)
class Timeouts:
    """Limits of a call: the seconds to connect and to wait for a response, and the number of attempts.

    The pause after attempt n is random, up to `backoff` * 2**n seconds. The default is short, because a user's request
    waits for it. Writes that may be throttled need botocore's pauses, which a `backoff` of 0.5 gives.
    """

    connect: float = 2.0
    read: float = 5.0
    attempts: int = 3
    backoff: float = 0.05


def endpoint(service: str, region: str) -> str:
    """Returns the URL of a service in a region."""
    domain = next((domain for start, domain in DOMAINS.items() if region.startswith(start)), "amazonaws.com")
    return f"https://{service}.{region}.{domain}"


class AwsApi:
    """One AWS service. Thread-safe. Keeps idle connections open."""

    def __init__(
        self,
        service: Service,
        settings: AwsSettings,
        environ: Mapping[str, str],
        timeouts: Timeouts | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Reads the region and the credentials from `environ`."""
        self._service = service
        self._region = environ["AWS_REGION"]
        self._url = settings.aws_endpoint_url or endpoint(service.name, self._region)
        # Under `sam local` each function calls the local AWS at a different path.
        self._path = urlsplit(self._url).path.rstrip("/") + "/"
        self._before_call = local_aws_check(settings)
        self._timeouts = timeouts or Timeouts()
        self._pause = pause
        self._credentials = credentials_of(environ)
        self._idle: list[HTTPConnection] = []
        self._tls = tls_context() if self._url.startswith("https:") else None

    def call(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the response of an operation. Bytes are base64 text, as in the protocol.

        Retries after a lost connection, a timeout, throttling and a 5xx. The lost attempt may have had its effect, so
        call only operations that may run twice. Raises botocore's ClientError for an error response, its
        HTTPClientError or ConnectionError for a failed connection, and GatewayError under `sam local` when the local
        AWS does not run.
        """
        self._before_call()
        body = json.dumps(parameters).encode()
        for attempt in range(1, self._timeouts.attempts):
            with suppress(AwsConnectionError, HTTPClientError, _Retryable):
                return self._send(operation, body)
            # SystemRandom, because SnapStart repeats the numbers of a seeded generator.
            self._pause(random.SystemRandom().uniform(0, self._timeouts.backoff * 2**attempt))
        try:
            return self._send(operation, body)
        except _Retryable as error:
            raise error.error from None

    def close(self) -> None:
        """Closes the idle connections. Thread-safe."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _send(self, operation: str, body: bytes) -> dict[str, Any]:
        connection = self._connection()
        try:
            connection.request("POST", self._path, body, self._headers(operation, body))
            response = connection.getresponse()
            content = response.read()
        except ValueError:
            connection.close()
            # Without the error, which quotes the header: it may be the session token.
            raise HTTPClientError(error="A header of the request is invalid.") from None
        except (OSError, HTTPException) as error:
            connection.close()
            # The idle connections may be broken too. Without them the next attempt opens a new connection.
            self.close()
            failure = ReadTimeoutError if isinstance(error, TimeoutError) else ConnectionClosedError
            raise failure(endpoint_url=self._url, error=error) from None
        # http.client closes the socket if the response has `Connection: close`.
        if connection.sock is not None:
            self._idle.append(connection)
        return _result(operation, response.status, content)

    def _headers(self, operation: str, body: bytes) -> dict[str, str]:
        headers = {
            "content-type": f"application/x-amz-json-{self._service.json_version}",
            "host": urlsplit(self._url).netloc,
            "x-amz-target": f"{self._service.target_prefix}.{operation}",
        }
        now, credentials = datetime.now(UTC), self._credentials()
        return signed_headers(
            headers,
            body,
            credentials=credentials,
            region=self._region,
            service=self._service.name,
            now=now,
            path=self._path,
        )

    def _connection(self) -> HTTPConnection:
        """Returns an idle connection that the server has not closed, or opens one."""
        with suppress(IndexError):
            while _is_closed(connection := self._idle.pop()):
                connection.close()
            return connection
        return self._connect()

    def _connect(self) -> HTTPConnection:
        url = urlsplit(self._url)
        host, timeout = str(url.hostname), self._timeouts.connect
        if self._tls is not None:
            connection: HTTPConnection = HTTPSConnection(host, url.port, timeout=timeout, context=self._tls)
        else:
            connection = HTTPConnection(host, url.port, timeout=timeout)
        try:
            connection.connect()
        except TimeoutError as error:
            raise ConnectTimeoutError(endpoint_url=self._url, error=error) from None
        except OSError as error:
            raise EndpointConnectionError(endpoint_url=self._url, error=error) from None
        connection.sock.settimeout(self._timeouts.read)
        return connection


class _Retryable(Exception):
    """An error response after which the request is sent again."""

    def __init__(self, error: ClientError) -> None:
        super().__init__()
        self.error = error


def credentials_of(environ: Mapping[str, str]) -> Callable[[], AnyCredentials]:
    """Returns a function that returns the current credentials of the execution environment.

    Lambda replaces an environment before the credentials in its variables expire. With SnapStart the variables contain
    no credentials: botocore reads them from a local URL and renews them. The function raises BotoCoreError if that
    fails.
    """
    if key := environ.get("AWS_ACCESS_KEY_ID"):
        fixed = Credentials(key, environ["AWS_SECRET_ACCESS_KEY"], environ.get("AWS_SESSION_TOKEN") or None)
        return lambda: fixed
    # Imported at init, so that the snapshot contains botocore. The first call reads the URL, after the snapshot.
    from botocore.session import Session

    session = Session()

    def renewed() -> AnyCredentials:
        credentials = session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        # The stubs allow None in each field, but botocore returns a key and a secret.
        return cast("AnyCredentials", credentials.get_frozen_credentials())

    return renewed


def _result(operation: str, status: int, content: bytes) -> dict[str, Any]:
    result = _json_object(content)
    if status < 300:
        if result is None:
            # The message omits the content, which may be a secret.
            raise HTTPClientError(error=f"The response of {operation} is not a JSON object.")
        return result
    result = result or {}
    code = str(result.get("__type", status)).rpartition("#")[2].partition(":")[0]
    message = result.get("message") or result.get("Message") or ""
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = ClientError(response, operation)  # type: ignore[arg-type]
    if status >= 500 or code in RETRYABLE_CODES:
        raise _Retryable(error)
    raise error


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_closed(connection: HTTPConnection) -> bool:
    """Whether the server has closed an idle connection. Its socket is then readable, as urllib3 checks too."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))
