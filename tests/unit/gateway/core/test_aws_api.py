import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)
from botocore.loaders import Loader
from botocore.regions import EndpointResolver
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from gateway.core.aws_api import RETRYABLE_CODES, SECRETS_MANAGER, AwsApi, Timeouts, endpoint
from gateway.core.aws_settings import AwsSettings
from gateway.core.errors import GatewayError
from tests.rehearsal import wait_until
from tests.scripted_server import HANG, Cut, Piece, Pieces, Request, Script, ScriptedServer, always, answer, in_turn
from tests.unit.gateway import certificates

ENVIRON = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
READ = {"SecretId": "admin"}
SECRET = answer(body=b'{"SecretString": "admin-token"}')


def api(url: str, *, sam_local: str = "false", **timeouts: Any) -> AwsApi:
    settings = AwsSettings(aws_endpoint_url=url, aws_sam_local=sam_local)
    return AwsApi(SECRETS_MANAGER, settings, ENVIRON, Timeouts(**timeouts))


def failure(status: int, code: str) -> bytes:
    return answer(status, json.dumps({"__type": f"com.amazonaws#{code}", "message": "no"}).encode())


def call(script: Script, **timeouts: Any) -> tuple[dict[str, Any], int]:
    """Returns the result of one call and the number of requests that it sent."""
    with ScriptedServer(script) as server:
        client = api(server.url, **timeouts)
        try:
            return client.call("GetSecretValue", READ), len(server.requests)
        finally:
            client.close()


def wait_for(server: ScriptedServer, requests: int) -> Piece:
    """A pause of a script until the server has received this number of requests."""
    return lambda: wait_until(lambda: len(server.requests) >= requests, 30)


def test_sends_the_operation_and_returns_its_result() -> None:
    with ScriptedServer(always(SECRET)) as server:
        client = api(server.url)
        assert client.call("GetSecretValue", READ) == {"SecretString": "admin-token"}
        client.close()

    [request] = server.requests
    assert (request.method, request.target, request.json()) == ("POST", "/v1/", READ)
    assert request.headers["x-amz-target"] == "secretsmanager.GetSecretValue"
    assert request.headers["content-type"] == "application/x-amz-json-1.1"
    assert "/us-east-1/secretsmanager/aws4_request" in request.headers["authorization"]


@pytest.mark.parametrize(("path", "target"), [("", "/"), ("/", "/"), ("/a/b", "/a/b/"), ("/a/b/", "/a/b/")])
def test_calls_below_the_path_of_its_endpoint(path: str, target: str) -> None:
    with ScriptedServer(always(SECRET)) as server:
        client = api(server.url.removesuffix("/v1") + path)
        client.call("GetSecretValue", READ)
        client.close()

    [request] = server.requests
    assert request.target == target


def test_reuses_its_connection() -> None:
    with ScriptedServer(always(SECRET)) as server:
        client = api(server.url)
        for _ in range(3):
            client.call("GetSecretValue", READ)
        client.close()

    assert {request.connection for request in server.requests} == {server.requests[0].connection}


def test_opens_a_new_connection_when_the_idle_one_was_closed() -> None:
    with ScriptedServer(always(SECRET)) as server:
        client = api(server.url)
        client.call("GetSecretValue", READ)
        server.drop_connections()

        assert client.call("GetSecretValue", READ) == {"SecretString": "admin-token"}
        client.close()


def test_opens_a_new_connection_after_a_response_that_closes_its_own() -> None:
    with ScriptedServer(always(answer(body=b"{}", connection="close"))) as server:
        client = api(server.url, attempts=1)
        assert [client.call("GetSecretValue", READ) for _ in range(2)] == [{}, {}]
        client.close()

    assert len({request.connection for request in server.requests}) == 2


def test_uses_no_attempt_on_idle_connections_that_were_closed() -> None:
    with ScriptedServer(lambda _: (wait_for(server, 4), SECRET)) as server:
        client = api(server.url, attempts=1)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: client.call("GetSecretValue", READ), range(4)))
        server.drop_connections()

        assert client.call("GetSecretValue", READ) == {"SecretString": "admin-token"}
        client.close()

    assert len({request.connection for request in server.requests}) == 5


def test_a_reset_connection_costs_one_attempt_and_closes_the_idle_ones() -> None:
    def reset_old_connections(request: Request) -> Pieces:
        old = len(server.requests) > 4 and request.connection in {first.connection for first in server.requests[:4]}
        return (Cut.RESET,) if old else (wait_for(server, 4), SECRET)

    with ScriptedServer(reset_old_connections) as server:
        client = api(server.url, attempts=2)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: client.call("GetSecretValue", READ), range(4)))

        assert client.call("GetSecretValue", READ) == {"SecretString": "admin-token"}
        client.close()


def test_a_read_timeout_closes_the_idle_connections() -> None:
    def hang_old_connections(request: Request) -> Pieces:
        old = len(server.requests) > 2 and request.connection in {first.connection for first in server.requests[:2]}
        return (HANG,) if old else (wait_for(server, 2), SECRET)

    with ScriptedServer(hang_old_connections) as server:
        client = api(server.url, read=3, attempts=2)
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda _: client.call("GetSecretValue", READ), range(2)))

        assert client.call("GetSecretValue", READ) == {"SecretString": "admin-token"}
        client.close()


def test_waits_longer_for_a_response_than_for_a_connection() -> None:
    assert call(always(3.0, SECRET), connect=2, read=60, attempts=1) == ({"SecretString": "admin-token"}, 1)


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b""])
def test_raises_for_a_response_without_a_json_object(body: bytes) -> None:
    with pytest.raises(HTTPClientError, match="GetSecretValue is not a JSON object"):
        call(always(answer(body=body)), attempts=1)


@pytest.mark.parametrize(
    "first",
    [
        (failure(500, "InternalFailure"),),
        (failure(503, "ServiceUnavailable"),),
        (failure(400, "ThrottlingException"),),
        (answer(502, b"<html>"),),
        (Cut.RESET,),
        (Cut.CLOSE,),
        (answer(body=b"<html>"),),
    ],
)
def test_retries_after_a_transient_failure(first: Any) -> None:
    assert call(in_turn(first, (SECRET,))) == ({"SecretString": "admin-token"}, 2)


def test_retries_the_codes_of_botocores_standard_mode() -> None:
    throttling = ThrottledRetryableChecker._THROTTLED_ERROR_CODES  # type: ignore[attr-defined]
    transient = TransientRetryableChecker._TRANSIENT_ERROR_CODES  # type: ignore[attr-defined]

    assert {*throttling, *transient} == RETRYABLE_CODES


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException"])
def test_raises_an_error_response_at_once(code: str) -> None:
    with ScriptedServer(always(failure(400, code))) as server:
        client = api(server.url)
        with pytest.raises(ClientError, match=code) as raised:
            client.call("GetSecretValue", READ)
        client.close()

    assert raised.value.response["Error"]["Code"] == code
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"__type": "com.amazonaws#Denied", "message": "no"}, "Denied", "no"),
        ({"__type": "Denied:http://amazonaws.com/", "Message": "no"}, "Denied", "no"),
        ({}, "400", ""),
    ],
)
def test_reads_the_code_and_the_message_of_each_protocol_version(body: Any, code: str, message: str) -> None:
    with pytest.raises(ClientError) as raised:
        call(always(answer(400, json.dumps(body).encode())))

    assert raised.value.response["Error"] == {"Code": code, "Message": message}
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_raises_the_last_error_after_all_attempts() -> None:
    with ScriptedServer(always(failure(500, "InternalFailure"))) as server:
        client = api(server.url, attempts=2)
        with pytest.raises(ClientError, match="InternalFailure"):
            client.call("GetSecretValue", READ)
        client.close()

    assert len(server.requests) == 2


def test_pauses_at_random_up_to_twice_as_long_after_each_attempt() -> None:
    pauses: list[float] = []
    with ScriptedServer(always(failure(500, "InternalFailure"))) as server:
        settings, timeouts = AwsSettings(aws_endpoint_url=server.url), Timeouts(attempts=9, backoff=1000)
        client = AwsApi(SECRETS_MANAGER, settings, ENVIRON, timeouts, pauses.append)
        with pytest.raises(ClientError, match="InternalFailure"):
            client.call("GetSecretValue", READ)
        client.close()

    assert len(set(pauses)) == 8
    assert all(0 <= pause <= 1000 * 2**attempt for attempt, pause in enumerate(pauses, 1))
    assert max(pauses) > 1000


def test_raises_botocores_errors_for_failed_connections() -> None:
    with pytest.raises(ReadTimeoutError):
        call(always(HANG), read=1, attempts=1)
    with pytest.raises(ConnectionClosedError):
        call(always(Cut.CLOSE), attempts=1)
    with pytest.raises(EndpointConnectionError):
        api("http://127.0.0.1:1", attempts=1).call("GetSecretValue", READ)


def test_quotes_no_invalid_session_token() -> None:
    with ScriptedServer(always(SECRET)) as server:
        settings = AwsSettings(aws_endpoint_url=server.url, aws_sam_local="false")
        client = AwsApi(SECRETS_MANAGER, settings, ENVIRON | {"AWS_SESSION_TOKEN": "the-token\r"})
        with pytest.raises(HTTPClientError, match="A header of the request is invalid") as caught:
            client.call("GetSecretValue", READ)

    assert "the-token" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert server.requests == []


def test_rejects_an_untrusted_certificate(tmp_path: Path) -> None:
    untrusted = certificates.server_context(certificates.write(tmp_path / "server.pem", address="127.0.0.1"))
    with ScriptedServer(always(SECRET), tls=untrusted) as server, pytest.raises(EndpointConnectionError):
        api(server.url, attempts=1).call("GetSecretValue", READ)

    assert server.requests == []


def test_sends_nothing_under_sam_local_without_a_local_aws() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = f"http://127.0.0.1:{listener.getsockname()[1]}"

    for url in (closed, ""):
        with pytest.raises(GatewayError, match="Start it with `make dev`"):
            api(url, sam_local="true").call("GetSecretValue", READ)


def test_endpoints_are_those_of_botocore_in_every_region() -> None:
    resolver = EndpointResolver(Loader().load_data("endpoints"))
    calls = [
        (name, region)
        for name in ("dynamodb", "events", "kms", "secretsmanager")
        for partition in resolver.get_available_partitions()
        for region in resolver.get_available_endpoints(name, partition)
    ]

    assert len({region for _, region in calls}) > 30
    for name, region in calls:
        assert endpoint(name, region) == f"https://{(resolver.construct_endpoint(name, region) or {})['hostname']}"
