"""Matches a request to a method of the API by API Gateway's rules."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from tools.local.deployment import Route


@dataclass(frozen=True)
class RouteMatch:
    """A matched route with the decoded values of its path parameters."""

    route: Route
    path_parameters: Mapping[str, str]


def match(routes: Iterable[Route], method: str, path: str) -> RouteMatch | None:
    """Returns the most specific route for a method and a percent-encoded path, or None."""
    segments = _segments(path)
    candidates = [
        (_wildcards(route.path), RouteMatch(route, parameters))
        for route in routes
        if route.method == method and (parameters := _parameters(_segments(route.path), segments)) is not None
    ]
    return min(candidates, key=lambda candidate: candidate[0])[1] if candidates else None


def _segments(path: str) -> list[str]:
    return path.removeprefix("/").removesuffix("/").split("/")


def _wildcards(path: str) -> list[int]:
    """Returns a sort key that puts `/a/b` before `/a/{b}` before `/a/{b+}`."""
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
