"""Removes keys from text: registered keys of at least 8 characters, and everything that has the shape of a key."""

import re
from binascii import a2b_base64, b2a_base64
from codecs import getincrementaldecoder
from collections.abc import Iterable
from threading import Lock

from gateway.core.escapes import escaped, match_end, split_parts
from gateway.core.secret_search import SecretIndex, longest_run

# Ordinary words do not match, such as the host tokenhub_server or "Bearer token" in an error.
KEY_SHAPED = re.compile(
    r"tokenhub(?:_|(?i:\\+u005f|%(?:25)*5f))(?=\w*\d|\w{16})\w{4,}|\bsk-[\w-]{8,}|\bAIza[\w-]{20,}"
    r"|(?i:bearer(?:\s|%(?:25)?20|\+|:|\\t)+[\"']?|\b(?:x-)?api[-_]?key[\"']?\s*[:=]\s*[\"']?)"
    r"(?=\w*(?:\d|[._~+/-]\w)|[^\s\"',}]{16})[^\s\"',}]+"
)
# The scheme, a value that may be base64, and what follows it. Base64 has a digit, a sign, a capital after a small
# letter, or padding. The group ends at an escaped sign. The part after it matches the rest.
BASIC = re.compile(
    r"\b(?i:basic)(?:\s|%(?:25)?20|\+|\\t)+[\"']?"
    r"(?=[A-Za-z]*(?:[0-9+/_-]|[a-z][A-Z]|==?(?![\w\"'])|%|\\))([A-Za-z0-9+/_-]{4,}={0,2})[^\s\"',}<>]*"
)
# A long value that looks random: a key without a name, or a name and a password in another encoding than UTF-8. Words
# with hyphens do not match.
OPAQUE = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[^_-]{16}")
URL_SAFE = str.maketrans("-_", "+/")
# Case-folded text without any of these does not match KEY_SHAPED. Searching them takes a tenth of the pattern's time.
MARKS = ("tokenhub", "sk-", "aiza", "bearer", "api")
REDACTED = "[redacted]"
# Prefixes of keys that are not secret.
PUBLIC_PREFIX = re.compile(r"tokenhub_|sk-")
# A text that ends with the public prefix and so many further characters of a key may have been cut inside the key.
MIN_CUT_CHARACTERS = 8
# A shorter key is a dummy. It is not redacted, because its characters are in ordinary words: an x is in every header.
MIN_KEY_CHARACTERS = 8
# A cut key is searched for in this many of the last characters of a text for each character of the key.
MAX_CUT_FACTOR = 16
# A run of backslashes, or one other character, because a text may be cut within a run of letters.
CUT_PART = re.compile(r"\\+|[^\\]")
# An escape that was cut at the end of a text.
ESCAPE_CUT = re.compile(r"[\\%&]\S{0,8}")


def redact(original: str, secrets: Iterable[str] = ()) -> str:
    """Returns the text with the secrets, and everything that has the shape of a key, replaced."""
    return _replace_key_shaped(redact_secrets(original, secrets))


def redact_cut_secrets(text: str, secrets: Iterable[str]) -> str:
    """Replaces the beginning of a secret at the end of a text that was cut in transit.

    Never use it for a complete text: a client that chooses how an error ends could guess a key character by character.
    """
    for secret in filter(_is_searched, secrets):
        text = _redact_cut_secret(text, secret)
    return text


def redact_secrets(original: str, secrets: Iterable[str]) -> str:
    """Replaces the secrets only. A name that has the shape of a key stays: a model may be called tokenhub_something."""
    present = [secret for secret in secrets if _is_searched(secret) and longest_run(secret) in original]
    return _replace(original, SecretIndex(present)) if present else original


class Redactor:
    """Redacts all keys that it has learned. There is one per execution environment, which learns each decrypted key."""

    def __init__(self) -> None:
        # Heartbeats learn keys in many threads.
        self._lock = Lock()
        self._keys: set[str] = set()
        # Other threads read it without the lock.
        self._index = SecretIndex()

    def learn(self, key: str) -> None:
        """Redacts this key from now on, unless it is a dummy."""
        with self._lock:
            if _is_searched(key) and key not in self._keys:
                self._keys.add(key)
                self._index.add(key)

    def __call__(self, text: str) -> str:
        return _replace_key_shaped(_replace(text, self._index))


def _is_searched(secret: str) -> bool:
    return len(secret) >= MIN_KEY_CHARACTERS


def _replace_key_shaped(text: str) -> str:
    # The patterns match a dotless i too, which a server in a Turkish locale makes of the I in API.
    folded = text.casefold().replace("\u0131", "i")
    # First: a key may contain the word basic.
    if any(mark in folded for mark in MARKS):
        text = KEY_SHAPED.sub(REDACTED, text)
    if "basic" in folded:
        text = BASIC.sub(lambda match: REDACTED if _is_credential(match[1]) else match[0], text)
    return text


def _is_credential(value: str) -> bool:
    """Whether the value after "Basic" is a credential and not ordinary text, such as `auth/token` or `JavaScript`.

    RFC 7617: a credential is the base64 of a name, a colon and a password. Some clients use the URL-safe alphabet.
    """
    if OPAQUE.match(value):
        return True
    value = value.translate(URL_SAFE)
    bare = value.rstrip("=")
    # A cut text may end with the first of the four characters of a group, which is less than a byte.
    whole = bare[:-1] if len(bare) % 4 == 1 else bare
    content = a2b_base64(whole + "=" * (-len(whole) % 4))
    is_padded = bare != value and b2a_base64(content, newline=False).decode() == value
    try:
        # An incremental decoder accepts a character that is cut at the end.
        return is_padded or ":" in getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        return False


def _replace(text: str, index: SecretIndex) -> str:
    """Replaces each occurrence of a secret, and secrets that overlap as one."""
    pieces, end = list[str](), 0
    for start, stop in sorted(index.spans(text)):
        if start >= end:
            pieces += text[end:start], REDACTED
        end = max(end, stop)
    return "".join([*pieces, text[end:]]) if pieces else text


def _redact_cut_secret(text: str, secret: str) -> str:
    prefix = PUBLIC_PREFIX.match(secret)
    min_length = MIN_CUT_CHARACTERS + (prefix.end() if prefix else 0)
    pattern = re.compile("".join(map(escaped, split_parts(secret[:min_length]))))
    for beginning in pattern.finditer(text, max(0, len(text) - MAX_CUT_FACTOR * len(secret))):
        if _ends_within(text, beginning.end(), secret[min_length:]):
            return text[: beginning.start()] + REDACTED
    return text


def _ends_within(text: str, at: int, rest: str) -> bool:
    """Whether the text from `at` to its end is the beginning of `rest`."""
    for part in CUT_PART.findall(rest):
        end = match_end(text, at, [part])
        if end is None:
            break
        at = end
    return at == len(text) or ESCAPE_CUT.fullmatch(text, at) is not None
