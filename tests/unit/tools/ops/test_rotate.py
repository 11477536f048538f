from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Aws
from tools.ops.rotate import TOKEN_ALPHABET, TOKEN_LENGTH, RevocationIncomplete, rotate, summary


def stored_token(aws: Aws, stage: str) -> str:
    return str(aws.secrets.get_secret_value(SecretId=aws.client_secret, VersionStage=stage)["SecretString"])


def test_keeps_the_old_token_as_previous(aws: Aws) -> None:
    token = rotate(aws.secrets, aws.client_secret, revoke=False)

    assert (stored_token(aws, "AWSCURRENT"), stored_token(aws, "AWSPREVIOUS")) == (token, "client-token")


def test_revocation_removes_the_old_token(aws: Aws) -> None:
    token = rotate(aws.secrets, aws.client_secret, revoke=True)

    assert stored_token(aws, "AWSCURRENT") == token
    assert stored_token(aws, "AWSPREVIOUS") not in ("client-token", token)


def test_tokens_are_unique_and_have_the_stacks_format(aws: Aws) -> None:
    tokens = {rotate(aws.secrets, aws.client_secret, revoke=False) for _ in range(20)}

    assert len(tokens) == 20
    assert all(len(token) == TOKEN_LENGTH and set(token) <= set(TOKEN_ALPHABET) for token in tokens)


class FailingSecretsManager:
    """Accepts a number of writes, then fails."""

    def __init__(self, accepted_writes: int) -> None:
        self.remaining = accepted_writes

    def put_secret_value(self, **_arguments: str) -> None:
        self.remaining -= 1
        if self.remaining < 0:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "PutSecretValue")


def test_incomplete_revocation_reports_that_the_old_token_is_valid() -> None:
    with pytest.raises(RevocationIncomplete, match="old token is still valid"):
        rotate(FailingSecretsManager(1), "secret", revoke=True)


def test_failed_rotation_raises() -> None:
    with pytest.raises(ClientError, match="slow down"):
        rotate(FailingSecretsManager(0), "secret", revoke=False)


def test_summary_names_the_time_of_the_revocation() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    # 60 s for the authorizer's cache and 5 minutes for API Gateway's.
    assert "invalid from 03:10:05 UTC" in summary("client", now, revoke=True)
    assert "until the next rotation" in summary("client", now, revoke=False)
