"""Removes keys from text: registered keys of at least 8 characters, and everything that has the shape of a key."""

import html.entities
import re
from collections.abc import Iterable
from threading import Lock

# Ordinary words do not match, such as the host tokenhub_server or "Bearer token" in an error.
KEY_SHAPED = re.compile(
    r"tokenhub(?:_|(?i:\\+u005f|%(?:25)*5f))(?=\w*\d|\w{16})\w{4,}|\bsk-[\w-]{8,}|\bAIza[\w-]{20,}"
    r"|(?i:bearer(?:\s|%(?:25)?20|\+|:|\\t)+[\"']?|\b(?:x-)?api[-_]?key[\"']?\s*[:=]\s*[\"']?)"
    r"(?=\w*(?:\d|[._~+/-]\w)|[^\s\"',}]{16})[^\s\"',}]+"
)
REDACTED = "[redacted]"
# Prefixes of keys that are not secret.
PUBLIC_PREFIX = re.compile(r"tokenhub_|sk-")
# A text that ends with the public prefix and so many further characters of a key may have been cut inside the key.
MIN_CUT_CHARACTERS = 8
# A shorter key is a dummy. It is not redacted, because its characters are in ordinary words: an x is in every header.
MIN_KEY_CHARACTERS = 8
# An escaped character takes at most so many characters.
MAX_FORM_FACTOR = 16
# Backslashes before an escape double each time that JSON is put into JSON. All repetitions here are bounded, because a
# regular expression holds the GIL: a response of backslashes only must not stop the process.
BACKSLASHES = r"\\{0,16}"
# An escape that was cut at the end of a text.
ESCAPE_CUT = re.compile(r"[\\%&]\S{0,8}")


def redact(original: str, secrets: Iterable[str] = ()) -> str:
    """Returns the text with the secrets, and everything that has the shape of a key, replaced."""
    return KEY_SHAPED.sub(REDACTED, redact_secrets(original, secrets))


def redact_cut_secrets(text: str, secrets: Iterable[str]) -> str:
    """Replaces the beginning of a secret at the end of a text that was cut in transit.

    Never use it for a complete text: a client that chooses how an error ends could guess a key character by character.
    """
    for secret in filter(_is_searched, secrets):
        text = _redact_cut_secret(text, secret)
    return text


def redact_secrets(original: str, secrets: Iterable[str]) -> str:
    """Replaces the secrets only. A name that has the shape of a key stays: a model may be called tokenhub_something."""
    return _redact_known(original, [(_longest_plain_run(secret), secret) for secret in secrets if _is_searched(secret)])


class Redactor:
    """Redacts all keys that it has learned. There is one per execution environment, which learns each decrypted key."""

    def __init__(self) -> None:
        # Heartbeats learn keys in many threads.
        self._lock = Lock()
        self._keys: set[str] = set()
        # (longest plain run, key). The list only grows, because other threads read it without the lock.
        self._known: list[tuple[str, str]] = []

    def learn(self, key: str) -> None:
        """Redacts this key from now on, unless it is a dummy."""
        with self._lock:
            if _is_searched(key) and key not in self._keys:
                self._keys.add(key)
                self._known.append((_longest_plain_run(key), key))

    def __call__(self, text: str) -> str:
        return KEY_SHAPED.sub(REDACTED, _redact_known(text, self._known))


def _is_searched(secret: str) -> bool:
    return len(secret) >= MIN_KEY_CHARACTERS


def _longest_plain_run(secret: str) -> str:
    """Returns the longest run of letters and digits in a secret. No encoding changes letters and digits."""
    return max(re.findall(r"[A-Za-z0-9]+", secret), key=len, default="")


def _redact_known(original: str, known: Iterable[tuple[str, str]]) -> str:
    """Replaces the known secrets, each a pair of its longest plain run and the secret.

    The pattern has only the secrets whose run is in the text, because compiling a thousand keys takes long. The longest
    secret comes first, because a secret that is a prefix of another would leave the rest of the other.
    """
    candidates = sorted((secret for run, secret in known if run in original), key=len, reverse=True)
    return re.sub("|".join(map(_any_form, candidates)), REDACTED, original) if candidates else original


def _redact_cut_secret(text: str, secret: str) -> str:
    prefix = PUBLIC_PREFIX.match(secret)
    min_length = MIN_CUT_CHARACTERS + (prefix.end() if prefix else 0)
    pattern = re.compile(_any_form(secret[:min_length]))
    for beginning in pattern.finditer(text, max(0, len(text) - MAX_FORM_FACTOR * len(secret))):
        if _ends_within(text, beginning.end(), secret[min_length:]):
            return text[: beginning.start()] + REDACTED
    return text


def _ends_within(text: str, at: int, rest: str) -> bool:
    """Whether the text from `at` to its end is the beginning of `rest`."""
    for part in _parts(rest):
        match = re.compile(_escaped(part)).match(text, at)
        if match is None:
            break
        at = match.end()
    return at == len(text) or ESCAPE_CUT.fullmatch(text, at) is not None


def _any_form(secret: str) -> str:
    return "".join(map(_escaped, _parts(secret)))


def _parts(secret: str) -> list[str]:
    """Splits a secret into characters. A run of backslashes is one part, because escaping changes its length."""
    return re.findall(r"\\+|[^\\]", secret)


def _escaped(part: str) -> str:
    """Returns a pattern of one character: as it is, and escaped for JSON, a URL or HTML, also nested.

    TokenHub embeds a provider's error in its own as a string, and Go's JSON encoder escapes an ampersand.
    """
    character = part[0]
    if character.isascii() and character.isalnum():
        return character
    number = ord(character)
    units = character.encode("utf-16-be", "surrogatepass")
    in_json = "".join(rf"{BACKSLASHES}u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True))
    in_url = "".join(f"%(?:25){{0,4}}{byte:02x}" for byte in character.encode(errors="surrogatepass"))
    name = html.entities.codepoint2name.get(number)
    in_page = "&(?:amp;){0,4}(?:" + (f"{name}|" if name else "") + f"#0{{0,4}}{number}|#x0{{0,4}}{number:x});"
    escapes = f"(?i:{in_json}|{in_url}|{in_page})"
    if character == "\\":
        # Possessive: the match never gives backslashes back.
        return rf"(?:\\|{escapes}){{1,64}}+"
    return rf"(?:{escapes}|{BACKSLASHES}{re.escape(character)})"
