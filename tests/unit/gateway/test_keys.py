from hashlib import sha256

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import KeyUnreadable
from gateway.keys import KeyCipher, fingerprint
from tests.conftest import Aws
from tests.unit.gateway.builders import BRIEFLY, KEY

PLACE = {"provider_id": "main", "origin": "https://tokenhub.example.com"}


def test_a_key_decrypts_for_its_provider_at_its_origin(cipher: KeyCipher) -> None:
    ciphertext = cipher.encrypt(KEY, **PLACE)
    assert KEY.encode() not in ciphertext
    assert cipher.decrypt(ciphertext, **PLACE) == KEY


@pytest.mark.parametrize(
    "elsewhere",
    [{"provider_id": "other"}, {"origin": "https://evil.example.com"}, {"origin": "http://tokenhub.example.com"}],
)
def test_a_key_decrypts_for_no_other_provider_and_at_no_other_origin(
    cipher: KeyCipher, elsewhere: dict[str, str]
) -> None:
    ciphertext = cipher.encrypt(KEY, **PLACE)
    with pytest.raises(KeyUnreadable) as caught:
        cipher.decrypt(ciphertext, **(PLACE | elsewhere))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_what_is_no_ciphertext_is_unreadable(cipher: KeyCipher) -> None:
    with pytest.raises(KeyUnreadable):
        cipher.decrypt(b"no ciphertext", **PLACE)


def failing(code: str) -> KeyCipher:
    kms = boto3.client("kms")
    stubber = Stubber(kms)
    stubber.add_client_error("decrypt", code)
    stubber.activate()
    return KeyCipher(kms, "arn:aws:kms:us-east-1:123456789012:key/any")


@pytest.mark.parametrize("code", ["InvalidCiphertextException", "IncorrectKeyException"])
def test_a_ciphertext_of_another_key_is_unreadable(aws: Aws, code: str) -> None:
    with pytest.raises(KeyUnreadable):
        failing(code).decrypt(b"ciphertext", **PLACE)


@pytest.mark.parametrize("code", ["DisabledException", "AccessDeniedException", "ThrottlingException"])
def test_a_trouble_of_kms_itself_is_not_told_as_an_unreadable_key(aws: Aws, code: str) -> None:
    with pytest.raises(ClientError, match=code):
        failing(code).decrypt(b"ciphertext", **PLACE)


def test_a_fingerprint_is_the_first_12_digits_of_a_hash_over_id_and_key() -> None:
    assert fingerprint(KEY, provider_id="main") == sha256(f"main:{KEY}".encode()).hexdigest()[:12]


@BRIEFLY
@given(st.text(max_size=80), st.text(max_size=80))
def test_another_key_has_another_fingerprint(one: str, other: str) -> None:
    same = fingerprint(one, provider_id="main") == fingerprint(other, provider_id="main")
    assert same == (one == other)


def test_the_same_key_of_another_provider_has_another_fingerprint() -> None:
    assert fingerprint(KEY, provider_id="main") != fingerprint(KEY, provider_id="other")
