"""Recognises a key in a text: unchanged, or with characters escaped for JSON, URLs or HTML, also nested.

TokenHub embeds a provider's error in its own as a string, Go's JSON encoder escapes an ampersand, and servers log URLs
and send web pages. Encoders escape neither letters nor digits, so this module does not recognise escaped ones (`%61`,
`\\u0061`, `&#97;`). It does not recognise a key in base64 or hex either.
"""

import html.entities
import re
from collections.abc import Iterator
from functools import cache

# The maximum length of one escaped character.
MAX_ESCAPE_CHARACTERS = 64
# Every escape begins with one of these.
ESCAPES = ("\\", "%", "&")
# The characters that begin or end an escape. A second encoding escapes them again. All repetitions are bounded, because
# a regular expression holds the GIL: a response of backslashes only must not stop the process.
PERCENT = "(?:%|&(?:amp;){0,4}(?:percnt|#0{0,4}37|#x0{0,4}25);)(?:25){0,4}"
# Backslashes before an escape double each time that JSON is put into JSON.
BACKSLASH = rf"(?:\\|{PERCENT}5c|&(?:amp;){{0,4}}(?:bsol|#0{{0,4}}92|#x0{{0,4}}5c);)"
BACKSLASHES = rf"{BACKSLASH}{{0,16}}"
NUMBER_SIGN = f"(?:#|{PERCENT}23)"
SEMICOLON = f"(?:;|{PERCENT}3b)"
AMPERSAND = rf"(?:&|{PERCENT}26|{BACKSLASHES}u0026)(?:amp{SEMICOLON}){{0,4}}"
# A run of letters and digits, a run of backslashes, whose length escaping changes, or one other character.
PART = re.compile(r"[A-Za-z0-9]+|\\+|[^\\]")


def split_parts(secret: str) -> list[str]:
    """Splits a secret into the parts that `match_end`, `find_starts` and `escaped` accept."""
    return PART.findall(secret)


def escaped(part: str) -> str:
    """Returns a pattern that matches a part, unchanged or escaped."""
    if _is_plain(part):
        return part
    character = part[0]
    escapes = f"(?i:{_in_json(character)}|{BACKSLASHES}(?:{_in_url(character)}|{_in_html(character)}))"
    if character == "\\":
        # Possessive: the match never gives backslashes back.
        return rf"(?:\\|{escapes}){{1,256}}+"
    return rf"(?:{escapes}|(?i:{BACKSLASHES}){re.escape(character)})"


def match_end(text: str, at: int, parts: list[str]) -> int | None:
    """Returns the end of the secret with these parts at a position of the text, or None if it is not there.

    Tries all interpretations: the text `&amp;` may be an escaped ampersand, or five characters of the secret.
    """
    ends = {at}
    for part in parts:
        ends = {end for start in ends for end in _part_ends(text, start, part)}
        if not ends:
            return None
    return max(ends)


def find_starts(text: str, part: str, start: int, stop: int) -> list[int]:
    """Returns the positions from `start` to `stop` at which the part begins, unchanged or escaped."""
    if _is_plain(part):
        return _plain_starts(text, part, start, stop + len(part))
    return [match.start() for match in _compiled(part[0]).finditer(text, start, stop + MAX_ESCAPE_CHARACTERS)]


def _plain_starts(text: str, part: str, start: int, stop: int) -> list[int]:
    starts, at = list[int](), text.find(part, start, stop)
    while at >= 0:
        starts.append(at)
        at = text.find(part, at + 1, stop)
    return starts


def _part_ends(text: str, at: int, part: str) -> set[int]:
    ends = {at + len(part)} if text.startswith(part, at) else set()
    if not _is_plain(part) and (match := _compiled(part[0]).match(text, at)):
        ends |= {match.end(), *_shorter_ends(text, at, part)}
    return ends


def _shorter_ends(text: str, at: int, part: str) -> Iterator[int]:
    """Yields the ends of `&amp;` and `%25` in `&amp;amp;` and `%2525`, where the rest may belong to the secret."""
    for pattern in _readings(part[0]):
        if match := pattern.match(text, at):
            yield match.end()


@cache
def _compiled(character: str) -> re.Pattern[str]:
    return re.compile(escaped(character))


@cache
def _readings(character: str) -> list[re.Pattern[str]]:
    """Returns the patterns of an ampersand or a percent sign for each number of encodings."""
    page = rf"{BACKSLASHES}(?:&|{PERCENT}26|{BACKSLASHES}u0026)(?:amp{SEMICOLON}){{NUMBER}}"
    pattern = {"&": page, "%": f"{BACKSLASHES}%(?:25){{NUMBER}}"}.get(character, "")
    numbers = range(6) if pattern else ()
    return [re.compile(pattern.replace("NUMBER", str(number)), re.IGNORECASE) for number in numbers]


def _is_plain(part: str) -> bool:
    return part.isascii() and part.isalnum()


def _in_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(rf"{BACKSLASHES}u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True))


def _in_url(character: str) -> str:
    return "".join(f"{PERCENT}{byte:02x}" for byte in character.encode(errors="surrogatepass"))


def _in_html(character: str) -> str:
    number = ord(character)
    name = html.entities.codepoint2name.get(number)
    names = f"{name}|" if name else ""
    return f"{AMPERSAND}(?:{names}{NUMBER_SIGN}0{{0,4}}{number}|{NUMBER_SIGN}x0{{0,4}}{number:x}){SEMICOLON}"
