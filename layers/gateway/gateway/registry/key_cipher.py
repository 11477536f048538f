"""Encrypts the providers' API keys with KMS and translates its errors. No other module calls KMS."""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as KmsConnectionError

from gateway.core.aws_api import AwsApi
from gateway.core.errors import KeyServiceFailed, KeyUnreadable

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

UNREADABLE_CODES = {"InvalidCiphertextException", "IncorrectKeyException"}
THROTTLED = "KMS is throttling requests. Try again in a few seconds."
FAILURES = {
    "AccessDeniedException": "KMS denied the function access to the providers' keys. "
    "Restore the permission in the function's role and in the policy of the stack's KMS key.",
    "DisabledException": "The stack's KMS key is disabled. Enable it.",
    "KMSInvalidStateException": "The stack's KMS key is pending deletion or being changed. "
    "Cancel its deletion and enable it.",
    "NotFoundException": "The stack's KMS key does not exist. "
    "Deploy the stack again, then register the providers again with their api_key.",
    "ThrottlingException": THROTTLED,
    "LimitExceededException": THROTTLED,
    "KeyUnavailableException": "The stack's KMS key is not available. Try again in a few seconds.",
}
UNREACHABLE = "KMS could not be reached. Try again; if the error persists, check the function's network."
OTHER_FAILURE = "KMS failed. Try again; if the error persists, check KMS in the AWS console."


class KmsApi:
    """KMS without botocore's client. Has only the operation that a forwarded request needs."""

    def __init__(self, kms: AwsApi) -> None:
        self._kms = kms

    def decrypt(self, **parameters: Any) -> dict[str, bytes]:
        """Takes the parameters of boto3's `decrypt` and returns its `Plaintext`."""
        ciphertext = b64encode(parameters["CiphertextBlob"]).decode()
        response = self._kms.call("Decrypt", parameters | {"CiphertextBlob": ciphertext})
        return {"Plaintext": b64decode(response["Plaintext"])}


class KeyDecrypter:
    """Decrypts API keys. The encryption context binds each key to its provider and origin."""

    def __init__(self, kms: "KmsApi | KMSClient", key_arn: str) -> None:
        self._kms = kms
        self._key_arn = key_arn

    def decrypt(self, ciphertext: bytes, *, provider_id: str, origin: str) -> str:
        """Returns the key. Raises KeyUnreadable when provider, origin or KMS key differ, and KeyServiceFailed."""
        context = {"provider_id": provider_id, "origin": origin}
        with _translate_errors():
            response = self._kms.decrypt(KeyId=self._key_arn, CiphertextBlob=ciphertext, EncryptionContext=context)
        return str(response["Plaintext"], "utf-8")


class KeyCipher(KeyDecrypter):
    """Encrypts and decrypts API keys."""

    def __init__(self, kms: "KMSClient", key_arn: str) -> None:
        super().__init__(kms, key_arn)
        self._client = kms

    def encrypt(self, key: str, *, provider_id: str, origin: str) -> bytes:
        """Returns the ciphertext of a key. Raises KeyServiceFailed."""
        context = {"provider_id": provider_id, "origin": origin}
        with _translate_errors():
            response = self._client.encrypt(KeyId=self._key_arn, Plaintext=key.encode(), EncryptionContext=context)
        return response["CiphertextBlob"]


def fingerprint(key: str, *, provider_id: str) -> str:
    """Identifies a key without revealing it: the first 12 hex digits of SHA-256 over `id:key`."""
    return hashlib.sha256(f"{provider_id}:{key}".encode()).hexdigest()[:12]


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raises KeyUnreadable or KeyServiceFailed for errors of KMS, without its texts: they contain ARNs and accounts."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in UNREADABLE_CODES:
            raise KeyUnreadable from None
        raise KeyServiceFailed(FAILURES.get(code, OTHER_FAILURE)) from None
    except (KmsConnectionError, HTTPClientError):
        raise KeyServiceFailed(UNREACHABLE) from None
    except BotoCoreError:
        raise KeyServiceFailed(OTHER_FAILURE) from None
