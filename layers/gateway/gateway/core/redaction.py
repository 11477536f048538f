"""What is said never holds a key: neither one that is registered, nor anything of the shape of one."""

import html.entities
import re
from collections.abc import Iterable
from threading import Lock

# Words are none: a host is called tokenhub_server, and an error says "Bearer token".
KEY_SHAPED = re.compile(
    r"tokenhub(?:_|(?i:\\+u005f|%(?:25)*5f))(?=\w*\d|\w{16})\w{4,}|\bsk-[\w-]{8,}|\bAIza[\w-]{20,}"
    r"|(?i:bearer(?:\s|%(?:25)?20|\+|:|\\t)+[\"']?|\b(?:x-)?api[-_]?key[\"']?\s*[:=]\s*[\"']?)"
    r"(?=\w*(?:\d|[._~+/-]\w)|[^\s\"',}]{16})[^\s\"',}]+"
)
REDACTED = "[redacted]"
PUBLIC = re.compile(r"tokenhub_|sk-")  # how keys begin that are no secret yet
MIN_CUT_CHARACTERS = 8  # characters of a key, besides, that are taken for its beginning at the end of a text
MAX_FORM_FACTOR = 16  # characters that one of a key may be written in
# Backslashes before an escape, which double each time that JSON is put into JSON. Bounded, as all that repeats here:
# a provider that answers with nothing else must not stop the process, in which a regular expression holds the GIL.
BACKSLASHES = r"\\{0,16}"
ESCAPE_CUT = re.compile(r"[\\%&]\S{0,8}")  # an escape that a text breaks off in


def redact(original: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given secrets and without anything of the shape of a key."""
    return KEY_SHAPED.sub(REDACTED, without(original, secrets))


def without_end(text: str, secrets: Iterable[str]) -> str:
    """A text that broke off on its way, without the beginning of a secret that it may have broken off in. Of no other
    text: who chooses how an error ends could try out beginnings until one is taken out."""
    for secret in filter(None, secrets):
        text = _without_cut(text, secret)
    return text


def without(original: str, secrets: Iterable[str]) -> str:
    """The text without the given secrets, and with what merely has the shape of a key: a model may be called
    tokenhub_something."""
    return _without(original, [(_telltale(secret), secret) for secret in secrets if secret])


class Redactor:
    """Redacts the keys that it was told of. One per execution environment: it learns each key as it is decrypted."""

    def __init__(self) -> None:
        self._lock = Lock()  # beats learn keys in many threads at once
        self._keys: set[str] = set()
        self._known: list[tuple[str, str]] = []  # it only grows: other threads may be reading it

    def learn(self, key: str) -> None:
        """From now on this key is taken out."""
        with self._lock:
            if key and key not in self._keys:
                self._keys.add(key)
                self._known.append((_telltale(key), key))

    def __call__(self, text: str) -> str:
        """The text without any of them."""
        return KEY_SHAPED.sub(REDACTED, _without(text, self._known))


def _telltale(secret: str) -> str:
    """The longest run of letters and digits in it: nobody writes those otherwise."""
    return max(re.findall(r"[A-Za-z0-9]+", secret), key=len, default="")


def _without(original: str, known: Iterable[tuple[str, str]]) -> str:
    """Looks for the telltale of each before it makes a pattern of them: a pattern of a thousand keys takes long to
    compile, and a tick learns a thousand, one after another. The longest comes first: one that begins another would
    leave the rest of it."""
    found = sorted((secret for telltale, secret in known if telltale in original), key=len, reverse=True)
    return re.sub("|".join(map(_any_form, found)), REDACTED, original) if found else original


def _without_cut(text: str, secret: str) -> str:
    public = PUBLIC.match(secret)
    least = MIN_CUT_CHARACTERS + (public.end() if public else 0)
    first = re.compile(_any_form(secret[:least]))
    for beginning in first.finditer(text, max(0, len(text) - MAX_FORM_FACTOR * len(secret))):
        if _goes_to_the_end(text, beginning.end(), secret[least:]):
            return text[: beginning.start()] + REDACTED
    return text


def _goes_to_the_end(text: str, at: int, rest: str) -> bool:
    for part in _parts(rest):
        found = re.compile(_escaped(part)).match(text, at)
        if found is None:
            break
        at = found.end()
    return at == len(text) or ESCAPE_CUT.fullmatch(text, at) is not None


def _any_form(secret: str) -> str:
    return "".join(map(_escaped, _parts(secret)))


def _parts(secret: str) -> list[str]:
    """Its characters; backslashes that follow one another are one part, because there are many ways to count them."""
    return re.findall(r"\\+|[^\\]", secret)


def _escaped(part: str) -> str:
    """A pattern of one character as it is and as JSON, a URL or a web page may write it, in each other, too. TokenHub
    puts a provider's error into its own as a text, and Go writes an ampersand in JSON as a number."""
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
        return rf"(?:\\|{escapes}){{1,64}}+"  # possessive: none that is taken is given back
    return rf"(?:{escapes}|{BACKSLASHES}{re.escape(character)})"
