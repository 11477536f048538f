from hashlib import sha256

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import KeyServiceFailed, KeyUnreadable
from gateway.registry.key_cipher import KeyCipher, fingerprint
from tests.conftest import Aws
from tests.unit.gateway.builders import BRIEFLY, KEY

PLACE = {"provider_id": "main", "origin": "https://tokenhub.example.com"}


def test_key_decrypts_for_its_provider_and_origin(cipher: KeyCipher) -> None:
    ciphertext = cipher.encrypt(KEY, **PLACE)
    assert KEY.encode() not in ciphertext
    assert cipher.decrypt(ciphertext, **PLACE) == KEY


@pytest.mark.parametrize(
    "elsewhere",
    [{"provider_id": "other"}, {"origin": "https://evil.example.com"}, {"origin": "http://tokenhub.example.com"}],
)
def test_key_does_not_decrypt_for_another_provider_or_origin(cipher: KeyCipher, elsewhere: dict[str, str]) -> None:
    ciphertext = cipher.encrypt(KEY, **PLACE)
    with pytest.raises(KeyUnreadable) as caught:
        cipher.decrypt(ciphertext, **(PLACE | elsewhere))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_invalid_ciphertext_is_unreadable(cipher: KeyCipher) -> None:
    with pytest.raises(KeyUnreadable):
        cipher.decrypt(b"no ciphertext", **PLACE)


OWN_TEXT = "User: arn:aws:sts::123456789012:assumed-role/x is not authorized"


def failing(code: str, call: str = "decrypt") -> KeyCipher:
    kms = boto3.client("kms")
    stubber = Stubber(kms)
    stubber.add_client_error(call, code, OWN_TEXT)
    stubber.activate()
    return KeyCipher(kms, "arn:aws:kms:us-east-1:123456789012:key/any")


@pytest.mark.parametrize("code", ["InvalidCiphertextException", "IncorrectKeyException"])
def test_ciphertext_of_another_kms_key_is_unreadable(aws: Aws, code: str) -> None:
    with pytest.raises(KeyUnreadable):
        failing(code).decrypt(b"ciphertext", **PLACE)


FAILURES = [
    ("AccessDeniedException", "denied the function"),
    ("DisabledException", "is disabled"),
    ("KMSInvalidStateException", "pending deletion"),
    ("NotFoundException", "does not exist"),
    ("ThrottlingException", "throttling"),
    ("LimitExceededException", "throttling"),
    ("KeyUnavailableException", "not available"),
    ("KMSInternalException", "KMS failed"),
    ("DependencyTimeoutException", "KMS failed"),
]


@pytest.mark.parametrize(("code", "words"), FAILURES)
def test_translates_kms_errors_without_their_text(aws: Aws, code: str, words: str) -> None:
    with pytest.raises(KeyServiceFailed, match=words) as caught:
        failing(code).decrypt(b"ciphertext", **PLACE)
    with pytest.raises(KeyServiceFailed, match=words):
        failing(code, "encrypt").encrypt(KEY, **PLACE)
    assert OWN_TEXT not in caught.value.message
    assert caught.value.__suppress_context__


def test_reports_missing_kms_key(aws: Aws) -> None:
    with pytest.raises(KeyServiceFailed, match="does not exist"):
        KeyCipher(aws.kms, aws.key_arn[:-12] + "000000000000").encrypt(KEY, **PLACE)


def test_reports_unreachable_kms() -> None:
    once = Config(retries={"total_max_attempts": 1})
    session = boto3.Session("key", "secret", region_name="us-east-1")
    nowhere = session.client("kms", endpoint_url="http://127.0.0.1:9", config=once)
    with pytest.raises(KeyServiceFailed, match="could not be reached"):
        KeyCipher(nowhere, "any").encrypt(KEY, **PLACE)


def test_missing_credentials_raise_key_service_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    session = boto3.Session(region_name="us-east-1")
    with pytest.raises(KeyServiceFailed, match="KMS failed"):
        KeyCipher(session.client("kms"), "any").encrypt(KEY, **PLACE)


def test_fingerprint_is_12_digits_of_a_hash_over_id_and_key() -> None:
    assert fingerprint(KEY, provider_id="main") == sha256(f"main:{KEY}".encode()).hexdigest()[:12]


@BRIEFLY
@given(st.text(max_size=80), st.text(max_size=80))
def test_different_keys_have_different_fingerprints(one: str, other: str) -> None:
    same = fingerprint(one, provider_id="main") == fingerprint(other, provider_id="main")
    assert same == (one == other)


def test_fingerprint_depends_on_the_provider() -> None:
    assert fingerprint(KEY, provider_id="main") != fingerprint(KEY, provider_id="other")
