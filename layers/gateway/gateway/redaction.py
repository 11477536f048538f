"""What is said never holds a key: neither one that is registered, nor anything of the shape of one."""

import json
import re
from collections.abc import Iterable
from threading import Lock
from urllib.parse import quote

KEY_SHAPED = re.compile(r"tokenhub_\w{4,}|\bsk-[\w-]{8,}|(?i:bearer(?:\s|%20|\+)+)[^\s\"',}]+")
REDACTED = "[redacted]"


def redact(original: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given secrets and without anything of the shape of a key."""
    return KEY_SHAPED.sub(REDACTED, without(original, secrets))


def without(original: str, secrets: Iterable[str]) -> str:
    """The text without the given secrets, and with what merely has the shape of a key: a model may be called
    tokenhub_something."""
    return _without(original, {form for secret in secrets for form in _forms(secret)})


class Redactor:
    """Redacts the keys that it was told of. One per execution environment: it learns each key as it is decrypted."""

    def __init__(self) -> None:
        self._lock = Lock()  # beats learn keys in many threads at once
        self._keys: set[str] = set()
        self._forms: list[str] = []  # it only grows: other threads may be reading it

    def learn(self, key: str) -> None:
        """From now on this key is taken out."""
        with self._lock:
            if key not in self._keys:
                self._keys.add(key)
                self._forms += _forms(key)

    def __call__(self, text: str) -> str:
        """The text without any of them."""
        return KEY_SHAPED.sub(REDACTED, _without(text, self._forms))


def _without(original: str, forms: Iterable[str]) -> str:
    """Looks for each form before it makes a pattern of them: a pattern of a thousand keys takes 20 ms to compile, and
    a tick learns a thousand, one after another."""
    found = [form for form in forms if form and form in original]
    return _any_of(found).sub(REDACTED, original) if found else original


def _any_of(forms: Iterable[str]) -> re.Pattern[str]:
    """All of them at once and the longest first: one that begins another would leave the rest of it."""
    return re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))


def _forms(secret: str) -> set[str]:
    """As it is, as it stands in JSON, in JSON that is a text in JSON (TokenHub puts a provider's error into its own
    like that), and in a URL. Some write `\\/` for a slash in JSON, and some `%2f` for `%2F` in a URL."""
    in_json = {secret, _in_json(secret), _in_json(_in_json(secret))}
    in_url = quote(secret, safe="", errors="replace")
    lower = re.sub("%[0-9A-F]{2}", lambda escape: escape.group().lower(), in_url)
    return in_json | {form.replace("/", "\\/") for form in in_json} | {in_url, lower}


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]
