import pytest

from tools.local.apigateway.routes import match
from tools.local.deployment import Route

ROUTES = [
    Route("GET", "/"),
    Route("GET", "/things/{proxy+}"),
    Route("GET", "/things/{id}"),
    Route("GET", "/things/{id}/parts/{part}"),
    Route("GET", "/things/default"),
    Route("POST", "/things"),
]


@pytest.mark.parametrize(
    ("method", "path", "route", "parameters"),
    [
        ("GET", "/", "/", {}),
        ("POST", "/things", "/things", {}),
        ("POST", "/things/", "/things", {}),
        ("GET", "/things/default", "/things/default", {}),
        ("GET", "/things/a", "/things/{id}", {"id": "a"}),
        ("GET", "/things/a%20b", "/things/{id}", {"id": "a b"}),
        ("GET", "/things/a%2Fb", "/things/{id}", {"id": "a/b"}),
        ("GET", "/things/a/parts/b", "/things/{id}/parts/{part}", {"id": "a", "part": "b"}),
        ("GET", "/things/a/b", "/things/{proxy+}", {"proxy": "a/b"}),
    ],
)
def test_matches_the_most_specific_route(method: str, path: str, route: str, parameters: dict[str, str]) -> None:
    matched = match(ROUTES, method, path)

    assert matched is not None
    assert (matched.route.path, matched.path_parameters) == (route, parameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/things"), ("HEAD", "/things/a"), ("GET", "/things"), ("GET", "/other"), ("POST", "//things")],
)
def test_returns_none_for_unknown_methods_and_paths(method: str, path: str) -> None:
    assert match(ROUTES, method, path) is None
