from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from gateway.core.aws_signature import Credentials, signed_headers

TIME = datetime(2026, 11, 29, 3, 4, 5, tzinfo=UTC)
HEADERS = {
    "content-type": "application/x-amz-json-1.0",
    "host": "dynamodb.eu-west-1.amazonaws.com",
    "x-amz-target": "DynamoDB_20120810.GetItem",
}


@pytest.mark.parametrize("token", [None, "a/session+token=="])
@pytest.mark.parametrize("body", [b"{}", '{"TableName": "é"}'.encode(), b""])
@pytest.mark.parametrize("service", ["dynamodb", "kms", "secretsmanager"])
@pytest.mark.parametrize("path", ["/", "/secret/HeartbeatFunction/"])
def test_signs_as_botocore_does(
    token: str | None, body: bytes, service: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: TIME.replace(tzinfo=None))
    request = AWSRequest("POST", f"https://{HEADERS['host']}{path}", dict(HEADERS), body)
    SigV4Auth(ReadOnlyCredentials("AKIDEXAMPLE", "secret/key", token), service, "eu-west-1").add_auth(request)

    credentials = Credentials("AKIDEXAMPLE", "secret/key", token)
    signed = signed_headers(
        HEADERS, body, credentials=credentials, region="eu-west-1", service=service, now=TIME, path=path
    )

    assert signed["authorization"] == request.headers["Authorization"]
    assert {name: request.headers[name] for name in signed} == signed


def test_credentials_show_no_secret() -> None:
    assert repr(Credentials("AKIDEXAMPLE", "secret/key", "token")) == "Credentials(access_key='AKIDEXAMPLE')"
