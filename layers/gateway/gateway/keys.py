"""The providers' API keys: the only KMS code."""

import hashlib
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from gateway.errors import KeyUnreadable

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


class KeyCipher:
    """Encrypts a provider's key so that it decrypts for this provider at this origin and nowhere else."""

    def __init__(self, kms: "KMSClient", key_arn: str) -> None:
        self._kms = kms
        self._key_arn = key_arn

    def encrypt(self, key: str, *, provider_id: str, origin: str) -> bytes:
        """The ciphertext to store."""
        context = {"provider_id": provider_id, "origin": origin}
        answer = self._kms.encrypt(KeyId=self._key_arn, Plaintext=key.encode(), EncryptionContext=context)
        return answer["CiphertextBlob"]

    def decrypt(self, ciphertext: bytes, *, provider_id: str, origin: str) -> str:
        """The key. Raises KeyUnreadable for a ciphertext of another provider, origin or KMS key."""
        context = {"provider_id": provider_id, "origin": origin}
        try:
            answer = self._kms.decrypt(KeyId=self._key_arn, CiphertextBlob=ciphertext, EncryptionContext=context)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"InvalidCiphertextException", "IncorrectKeyException"}:
                raise KeyUnreadable from None
            raise
        return answer["Plaintext"].decode()


def fingerprint(key: str, *, provider_id: str) -> str:
    """Tells two keys apart without showing either: the first 12 hex digits of SHA-256 over `id:key`."""
    return hashlib.sha256(f"{provider_id}:{key}".encode()).hexdigest()[:12]
