"""The uptime and the incidents of the provider API, from roll-ups that ticks of the heartbeat function wrote."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.functions.conftest import Context, Load, event
from tests.rehearsal import RunningTokenHub


class World:
    """The two functions with one provider, which is due in each tick because it is new."""

    def __init__(self, load: Load, tokenhub: RunningTokenHub) -> None:
        self.api, self.heartbeat = load("providers"), load("heartbeat")
        body = json.loads(event("register")["body"]) | {"endpoint": f"{tokenhub.url}/v1", "model": "gpt-4o"}
        assert self.call("register", body=json.dumps(body))[0] == 201

    def call(self, name: str, **changes: Any) -> tuple[int, Any]:
        answer = self.api.handler(event(name, **changes), Context())
        return answer["statusCode"], json.loads(answer["body"] or "null")

    def beat(self) -> None:
        self.heartbeat.handler({"provider_id": "tokenhub", "now": True}, Context())

    def tick(self) -> None:
        slot = datetime.now(UTC) + timedelta(seconds=1)
        self.heartbeat.handler({"tick": slot.isoformat(), "offset_seconds": 0}, Context())


@pytest.fixture
def world(load: Load, tokenhub: RunningTokenHub, monkeypatch: pytest.MonkeyPatch) -> World:
    # The heartbeat of the registration fails at once.
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1")
    return World(load, tokenhub)


def query(**parameters: str) -> dict[str, Any]:
    multiple = {name: [value] for name, value in parameters.items()}
    return {"queryStringParameters": parameters, "multiValueQueryStringParameters": multiple}


def test_a_new_provider_has_an_empty_uptime(world: World) -> None:
    status, uptime = world.call("uptime")
    empty = {"beats": 0, "good": 0, "uptime": None, "p50_ms": None, "p95_ms": None}
    assert status == 200
    assert [uptime[period] for period in ("last_24h", "last_7d", "last_30d", "last_90d")] == [empty] * 4
    assert (uptime["rolled_up_until"], len(uptime["half_hours"]), len(uptime["days"])) == (None, 48, 90)
    assert world.call("incidents") == (200, {"items": [], "next": None})


def test_uptime_counts_the_heartbeats_before_the_tick(world: World, tokenhub: RunningTokenHub) -> None:
    world.beat()
    tokenhub.rehearse("refuse_key")
    world.beat()
    world.tick()

    before = datetime.now(UTC)
    uptime = world.call("uptime")[1]

    last = uptime["last_24h"]
    assert (last["beats"], last["good"], last["uptime"]) == (2, 1, 0.5)
    assert last["p50_ms"] is not None
    assert sum(cell["beats"] for cell in uptime["half_hours"]) == 2
    assert sum(day["incidents"] for day in uptime["days"]) == 1
    assert uptime["half_hours"][0]["from"] > uptime["half_hours"][-1]["from"]
    # Midnight may have passed meanwhile.
    assert uptime["days"][0]["date"] in {time.date().isoformat() for time in (before, datetime.now(UTC))}
    assert uptime["rolled_up_until"] is not None


def test_lists_incidents_in_pages(world: World, tokenhub: RunningTokenHub) -> None:
    for mode in ("refuse_key", "normal", "refuse_key"):
        tokenhub.rehearse(mode)
        world.beat()
    world.tick()

    newest = world.call("incidents", **query(limit="1"))[1]
    older = world.call("incidents", **query(limit="1", before=newest["next"]))[1]

    [lasting], [ended] = newest["items"], older["items"]
    assert (lasting["end"], lasting["duration_s"], lasting["planned"]) == (None, None, False)
    assert ended["begin"] < ended["end"] < lasting["begin"]
    assert ended["duration_s"] >= 0
    assert "HTTP 4" in ended["cause"]
    assert older["next"] is None


@pytest.mark.parametrize(("name", "value"), [("limit", "0"), ("limit", "501"), ("before", "yesterday")])
def test_rejects_invalid_pages(world: World, name: str, value: str) -> None:
    status, answer = world.call("incidents", **query(**{name: value}))
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "invalid_request", name)


def test_a_successor_shows_neither_uptime_nor_incidents(world: World, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("refuse_key")
    world.beat()
    world.tick()
    assert world.call("delete")[0] == 204
    body = json.loads(event("register")["body"]) | {"endpoint": f"{tokenhub.url}/v1"}
    assert world.call("register", body=json.dumps(body))[0] == 201

    assert world.call("uptime")[1]["last_90d"]["beats"] == 0
    assert world.call("incidents")[1]["items"] == []
