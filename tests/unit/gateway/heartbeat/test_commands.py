import json
from datetime import UTC, datetime

import pytest

from gateway.heartbeat.commands import BeatNow, FirstBeat, ListModels, Tick, UnknownCommand, parse_event, to_json
from tests.template import ROOT

TIME = "2026-01-02T03:04:00Z"


@pytest.mark.parametrize("command", [FirstBeat("main"), BeatNow("main"), ListModels("main")])
def test_parses_the_commands_that_it_serializes(command: FirstBeat | BeatNow | ListModels) -> None:
    assert parse_event(json.loads(to_json(command))) == command


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (FirstBeat("main"), {"provider_id": "main"}),
        (BeatNow("main"), {"provider_id": "main", "now": True}),
        (ListModels("main"), {"provider_id": "main", "models": True}),
    ],
)
def test_the_wire_format_is_stable(command: FirstBeat | BeatNow | ListModels, event: dict[str, object]) -> None:
    assert json.loads(to_json(command)) == event


def test_parses_a_tick_of_the_workflow() -> None:
    tick = parse_event({"tick": TIME, "offset_seconds": 30})

    assert tick == Tick(datetime(2026, 1, 2, 3, 4, tzinfo=UTC), 30)
    assert isinstance(tick, Tick)
    assert tick.slot == "2026-01-02T03:04:30.000000Z"


def test_parses_the_shared_events() -> None:
    events = [json.loads((ROOT / "events" / f"{name}.json").read_text()) for name in ("tick", "first_beat")]

    assert [type(parse_event(event)) for event in events] == [Tick, FirstBeat]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"tick": TIME},
        {"tick": "noon", "offset_seconds": 0},
        {"tick": TIME, "offset_seconds": "0"},
        {"tick": TIME, "offset_seconds": 0, "provider_id": "main"},
        {"now": True},
        {"provider_id": 7},
        {"provider_id": "main", "now": "yes"},
        {"provider_id": "main", "now": True, "models": True},
        {"provider_id": "main", "model": True},
    ],
)
def test_rejects_an_unknown_event(event: dict[str, object]) -> None:
    with pytest.raises(UnknownCommand, match="not a heartbeat command"):
        parse_event(event)
