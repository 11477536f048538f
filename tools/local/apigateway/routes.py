"""Which method of the API a request means, as API Gateway decides it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from tools.local.deployed import Route


@dataclass(frozen=True)
class Match:
    """A route, and the decoded values of its path parameters."""

    route: Route
    path_parameters: Mapping[str, str]


def match(routes: Iterable[Route], method: str, path: str) -> Match | None:
    """The route of `method` and the raw (still percent-encoded) `path`; the most literal one wins."""
    segments = _segments(path)
    found = [
        (_openness(route.path), Match(route, parameters))
        for route in routes
        if route.method == method and (parameters := _parameters(_segments(route.path), segments)) is not None
    ]
    return min(found, key=lambda candidate: candidate[0])[1] if found else None


def _segments(path: str) -> list[str]:
    return path.removeprefix("/").removesuffix("/").split("/")


def _openness(path: str) -> list[int]:
    """Sorts `/a/b` before `/a/{b}` before `/a/{b+}`."""
    return [0 if not s.startswith("{") else 2 if s.endswith("+}") else 1 for s in _segments(path)]


def _parameters(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for position, expected in enumerate(pattern):
        if position >= len(segments):
            return None
        if expected.endswith("+}"):
            values[expected[1:-2]] = unquote("/".join(segments[position:]))
            return values
        if expected.startswith("{"):
            values[expected[1:-1]] = unquote(segments[position])
        elif expected != segments[position]:
            return None
    return values if len(pattern) == len(segments) else None
