"""The providers' API keys: the only KMS code. Its errors become ours here and nowhere else."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnected

from gateway.core.errors import KeyServiceFailed, KeyUnreadable

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

UNREADABLE = {"InvalidCiphertextException", "IncorrectKeyException"}
BUSY = "KMS takes no more calls at the moment. Try again in a few seconds."
TROUBLES = {
    "AccessDeniedException": "KMS refuses the function the providers' keys. "
    "Give its role, and the policy of the stack's KMS key, the action back.",
    "DisabledException": "The KMS key that the providers' keys are encrypted under is disabled. Enable it.",
    "KMSInvalidStateException": "The KMS key that the providers' keys are encrypted under cannot be used: "
    "it waits for its deletion, or is being changed. Cancel the deletion, and enable it.",
    "NotFoundException": "The KMS key that the providers' keys are encrypted under is gone. "
    "Deploy the stack again, and register the providers again with their api_key.",
    "ThrottlingException": BUSY,
    "LimitExceededException": BUSY,
    "KeyUnavailableException": "The KMS key that the providers' keys are encrypted under is not available. "
    "Try again in a few seconds.",
}
NOT_REACHED = "KMS could not be reached. Try again; if it stays so, check the function's network."
OTHER = "KMS failed. Try again; if it stays so, look at its state in the AWS console."


class KeyCipher:
    """Encrypts a provider's key so that it decrypts for this provider at this origin and nowhere else."""

    def __init__(self, kms: "KMSClient", key_arn: str) -> None:
        self._kms = kms
        self._key_arn = key_arn

    def encrypt(self, key: str, *, provider_id: str, origin: str) -> bytes:
        """The ciphertext to store. Raises KeyServiceFailed."""
        context = {"provider_id": provider_id, "origin": origin}
        with _translated():
            answer = self._kms.encrypt(KeyId=self._key_arn, Plaintext=key.encode(), EncryptionContext=context)
        return answer["CiphertextBlob"]

    def decrypt(self, ciphertext: bytes, *, provider_id: str, origin: str) -> str:
        """The key. Raises KeyUnreadable for a ciphertext of another provider, origin or KMS key; KeyServiceFailed."""
        context = {"provider_id": provider_id, "origin": origin}
        with _translated():
            answer = self._kms.decrypt(KeyId=self._key_arn, CiphertextBlob=ciphertext, EncryptionContext=context)
        return answer["Plaintext"].decode()


def fingerprint(key: str, *, provider_id: str) -> str:
    """Tells two keys apart without showing either: the first 12 hex digits of SHA-256 over `id:key`."""
    return hashlib.sha256(f"{provider_id}:{key}".encode()).hexdigest()[:12]


@contextmanager
def _translated() -> Iterator[None]:
    """KMS's own texts hold ARNs and account numbers: they are not passed on."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in UNREADABLE:
            raise KeyUnreadable from None
        raise KeyServiceFailed(TROUBLES.get(code, OTHER)) from None
    except (NotConnected, HTTPClientError):
        raise KeyServiceFailed(NOT_REACHED) from None
    except BotoCoreError:
        raise KeyServiceFailed(OTHER) from None
