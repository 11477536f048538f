from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Aws
from tools.ops.rotate import ALPHABET, LENGTH, Half, rotate, words


def opens(aws: Aws, stage: str) -> str:
    return str(aws.secrets.get_secret_value(SecretId=aws.client_secret, VersionStage=stage)["SecretString"])


def test_the_old_token_opens_beside_the_new_one(aws: Aws) -> None:
    token = rotate(aws.secrets, aws.client_secret, revoke=False)

    assert (opens(aws, "AWSCURRENT"), opens(aws, "AWSPREVIOUS")) == (token, "client-token")


def test_a_revoked_token_opens_nothing_more(aws: Aws) -> None:
    token = rotate(aws.secrets, aws.client_secret, revoke=True)

    assert opens(aws, "AWSCURRENT") == token
    assert opens(aws, "AWSPREVIOUS") not in ("client-token", token)


def test_a_token_is_new_each_time_and_made_like_the_stacks_own(aws: Aws) -> None:
    made = {rotate(aws.secrets, aws.client_secret, revoke=False) for _ in range(20)}

    assert len(made) == 20
    assert all(len(token) == LENGTH and set(token) <= set(ALPHABET) for token in made)


class FailsAt:
    """Secrets Manager that takes so many writes."""

    def __init__(self, taken: int) -> None:
        self.taken = taken

    def put_secret_value(self, **_asked: str) -> None:
        self.taken -= 1
        if self.taken < 0:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "PutSecretValue")


def test_half_a_revocation_says_that_the_old_token_still_opens() -> None:
    with pytest.raises(Half, match="old token still opens"):
        rotate(FailsAt(1), "secret", revoke=True)


def test_a_rotation_that_did_not_happen_is_an_error() -> None:
    with pytest.raises(ClientError, match="slow down"):
        rotate(FailsAt(0), "secret", revoke=False)


def test_a_revocation_says_when_the_old_token_is_dead() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    assert "dead from 03:10:05 UTC" in words("client", at, revoke=True)  # 60 s, then API Gateway's 5 minutes
    assert "until the next rotation" in words("client", at, revoke=False)
