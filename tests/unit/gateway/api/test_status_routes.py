import json
from datetime import timedelta
from typing import Any

import pytest

from gateway.api.status_routes import Openness
from gateway.status.views import State
from tests.status_site import World, history, overview, stale, status_event
from tests.unit.gateway.builders import AT

PUBLIC = [
    "/status/public/data",
    "/status/public/feed.atom",
    "/status/public/main/badge.svg",
    "/status/public/main/shields.json",
    "/status/public/main/live",
]
PRIVATE = ["/status", "/status/data"]


@pytest.fixture
def world() -> World:
    return World(providers=[overview("main", AT)], histories={"main": history(AT)})


def get(world: World, path: str, openness: Openness = "public", method: str = "GET") -> dict[str, Any]:
    return world.routes(openness).answer(status_event(path, method), {"X-Request-Id": "request-1"}, AT)


def code(answer: dict[str, Any]) -> tuple[int, str]:
    return answer["statusCode"], json.loads(answer["body"])["error"]["code"]


@pytest.mark.parametrize("path", PRIVATE + PUBLIC)
def test_every_route_answers_when_public(world: World, path: str) -> None:
    answer = get(world, path)

    assert answer["statusCode"] == 200
    assert answer["headers"]["X-Request-Id"] == "request-1"
    assert answer["headers"]["X-Content-Type-Options"] == "nosniff"
    assert answer["headers"]["Referrer-Policy"] == "no-referrer"
    assert answer["headers"]["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("path", PUBLIC)
@pytest.mark.parametrize("openness", ["token", "off"])
def test_public_routes_are_404_unless_public(world: World, path: str, openness: Openness) -> None:
    assert code(get(world, path, openness)) == (404, "status_page_off")
    assert world.reads == []


@pytest.mark.parametrize("path", PRIVATE)
def test_page_and_token_data_are_404_when_off(world: World, path: str) -> None:
    assert code(get(world, path, "off")) == (404, "status_page_off")
    assert get(world, path, "token")["statusCode"] == 200


@pytest.mark.parametrize("path", PUBLIC)
def test_public_answers_may_be_cached(world: World, path: str) -> None:
    cached = "public, max-age=300" if path.endswith(".atom") else "public, max-age=15"

    assert get(world, path)["headers"]["Cache-Control"] == cached


def test_token_data_is_never_cached(world: World) -> None:
    assert get(world, "/status/data")["headers"]["Cache-Control"] == "no-store"
    assert get(world, "/status/data?page=x")["headers"]["Cache-Control"] == "no-store"


def test_token_data_has_causes_and_public_data_has_none(world: World) -> None:
    world.providers = [overview("main", AT, "failed")]

    assert "HTTP 401" in get(world, "/status/data")["body"]
    assert "HTTP 401" not in get(world, "/status/public/data")["body"]


def test_data_is_paged(world: World) -> None:
    world.providers = [overview(f"p{number:02}", AT) for number in range(51)]

    second = json.loads(get(world, "/status/data?page=2")["body"])

    assert (second["page"], second["pages"], len(second["providers"])) == (2, 2, 1)
    assert code(get(world, "/status/data?page=0")) == (400, "invalid_request")


def test_reads_the_histories_of_one_page_only(world: World) -> None:
    world.providers = [overview(f"p{number:03}", AT) for number in range(1000)]

    get(world, "/status/data?page=3")

    assert world.reads == [("providers", 1000), ("histories", 50)]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("state", "status"), [("healthy", 200), ("failed", 503), ("pending", 503), ("stale", 503)])
def test_live_is_200_only_while_healthy_and_not_stale(world: World, method: str, state: State, status: int) -> None:
    provider = overview("main", AT, "healthy" if state == "stale" else state)
    world.providers = [stale(provider, AT) if state == "stale" else provider]

    answer = get(world, "/status/public/main/live", method=method)

    assert answer["statusCode"] == status
    if method == "HEAD":
        assert answer["body"] == ""
    elif status == 503:
        assert code(answer) == (503, "provider_not_healthy")


def test_live_becomes_503_when_heartbeats_stop(world: World) -> None:
    routes, event = world.routes("public"), status_event("/status/public/main/live")

    statuses = [routes.answer(event, {}, AT + timedelta(seconds=after))["statusCode"] for after in (0, 79, 81)]

    assert statuses == [200, 200, 503]


@pytest.mark.parametrize("path", PUBLIC[2:])
def test_an_unknown_provider_is_404(world: World, path: str) -> None:
    assert code(get(world, path.replace("main", "nobody"))) == (404, "provider_not_found")


@pytest.mark.parametrize("name", ["badge.svg", "shields.json"])
def test_badges_show_the_requested_measure(world: World, name: str) -> None:
    assert "412 ms" in get(world, f"/status/public/main/{name}?of=response_time")["body"]
    assert code(get(world, f"/status/public/main/{name}?of=colour")) == (400, "invalid_request")


def test_content_types(world: World) -> None:
    types = [get(world, path)["headers"]["Content-Type"] for path in ("/status", *PUBLIC)]

    assert types == [
        "text/html; charset=utf-8",
        "application/json",
        "application/atom+xml; charset=utf-8",
        "image/svg+xml; charset=utf-8",
        "application/json",
        "application/json",
    ]
