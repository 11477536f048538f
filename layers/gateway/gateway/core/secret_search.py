"""Finds known secrets in a text, unchanged or in the escapes of `escapes`.

The time grows with the length of the text and not with the number of secrets.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.core.escapes import ESCAPES, MAX_ESCAPE_CHARACTERS, find_starts, match_end, split_parts

# The last characters of a run, by which a scan of the text finds the run.
ANCHOR_CHARACTERS = 4
# Measured: a scan of a text takes as long as 3,000 searches in it. Starting a search takes as long as searching 600
# characters.
SEARCHES_PER_SCAN = 3_000
CHARACTERS_PER_START = 600
PLAIN_RUNS = re.compile(r"[A-Za-z0-9]+")

Span = tuple[int, int]


class Secret(NamedTuple):
    """A secret, and the run of letters and digits by which it is found. Escaping does not change the run."""

    value: str
    run: str
    # The position of the run in the secret.
    offset: int


class SecretIndex:
    """Known secrets by their plain runs. It only grows, so one thread may read it while another adds a secret."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: list[Secret] = []
        # The secrets with a run of at least ANCHOR_CHARACTERS, by the end of the run, and the other secrets.
        self._anchored: dict[str, list[Secret]] = {}
        self._unanchored: list[Secret] = []
        for secret in secrets:
            self.add(secret)

    def add(self, value: str) -> None:
        run = max(PLAIN_RUNS.finditer(value), key=self._rank, default=None)
        secret = Secret(value, run[0], run.start()) if run else Secret(value, "", 0)
        self._secrets.append(secret)
        if len(secret.run) < ANCHOR_CHARACTERS:
            self._unanchored.append(secret)
        else:
            self._anchored.setdefault(secret.run[-ANCHOR_CHARACTERS:], []).append(secret)

    def _rank(self, run: re.Match[str]) -> tuple[bool, int, int]:
        """Ranks the runs of a secret: those that few other secrets share first. Many keys begin alike."""
        shared = len(self._anchored.get(run[0][-ANCHOR_CHARACTERS:], ()))
        return len(run[0]) >= ANCHOR_CHARACTERS, -shared, len(run[0])

    def spans(self, text: str) -> list[Span]:
        """Returns the start and the end of each occurrence of a secret, unsorted."""
        is_scan_faster = len(self._secrets) * (len(text) + CHARACTERS_PER_START) > SEARCHES_PER_SCAN * len(text)
        runs = self._scan(text) if is_scan_faster else _search(text, self._secrets)
        if not runs:
            return []
        return [span for secret, positions in runs.items() for span in _occurrences(text, secret, positions)]

    def _scan(self, text: str) -> dict[Secret, list[int]]:
        """Returns the positions of the runs in the text, by secret."""
        runs = _search(text, self._unanchored)
        for at in range(len(text) - ANCHOR_CHARACTERS + 1):
            for secret in self._anchored.get(text[at : at + ANCHOR_CHARACTERS], ()):
                start = at + ANCHOR_CHARACTERS - len(secret.run)
                if start >= 0 and text.startswith(secret.run, start):
                    runs.setdefault(secret, []).append(start)
        return runs


def longest_run(secret: str) -> str:
    """Returns the longest run of letters and digits in a secret. A text without the run does not contain the secret."""
    return max(PLAIN_RUNS.findall(secret), key=len, default="")


def _search(text: str, secrets: list[Secret]) -> dict[Secret, list[int]]:
    return {secret: list(_positions(text, secret.run)) for secret in secrets if secret.run in text}


def _positions(text: str, run: str) -> Iterator[int]:
    at = text.find(run)
    while at >= 0:
        yield at
        at = text.find(run, at + 1)


def _occurrences(text: str, secret: Secret, positions: list[int]) -> Iterator[Span]:
    """Yields the occurrences of a secret. `positions` are those of its run in the text, ascending."""
    encoded = []
    for at in positions:
        start = at - secret.offset
        if start >= 0 and text.startswith(secret.value, start):
            yield start, start + len(secret.value)
        else:
            encoded.append(at)
    if encoded and any(sign in text for sign in ESCAPES):
        yield from _encoded_occurrences(text, split_parts(secret.value), secret.offset, encoded)


def _encoded_occurrences(text: str, parts: list[str], offset: int, positions: list[int]) -> Iterator[Span]:
    """Yields the encoded occurrences. `offset` is the position of the run in the secret."""
    tried = 0
    for at in positions:
        # No start is tried twice, so the time does not grow with the square of a text of many runs.
        for start in find_starts(text, parts[0], max(tried, at - MAX_ESCAPE_CHARACTERS * offset), at):
            end = match_end(text, start, parts)
            if end is not None:
                yield start, end
        tried = at + 1
