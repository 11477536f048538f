from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from gateway.core.errors import InvalidRequest
from gateway.heartbeat.history import Uptime
from gateway.status.badge import COLOURS, MEASURES, STATE_COLOURS, format_share, make_badge, parse_measure, shields, svg
from gateway.status.views import State
from tests.status_site import empty_history, history
from tests.unit.gateway.builders import AT

HISTORY = history(AT, failed_days=[3])


@pytest.mark.parametrize(
    ("measure", "label", "message"),
    [
        ("status", "main", "healthy"),
        ("uptime_24h", "main uptime 24h", "100%"),
        ("uptime_30d", "main uptime 30d", "99.58%"),
        ("response_time", "main response time", "412 ms"),
    ],
)
def test_badge_shows_the_measure(measure: str, label: str, message: str) -> None:
    badge = make_badge("main", "healthy", HISTORY, measure)

    assert (badge.label, badge.message) == (label, message)
    assert shields(badge) == {"schemaVersion": 1, "label": label, "message": message, "color": badge.colour}


@pytest.mark.parametrize("measure", MEASURES[1:])
def test_unknown_values_are_grey(measure: str) -> None:
    badge = make_badge("main", "pending", empty_history(AT), measure)

    assert (badge.message, badge.colour) == ("unknown", "lightgrey")


@pytest.mark.parametrize("state", STATE_COLOURS)
def test_every_state_has_a_colour_and_a_text(state: State) -> None:
    badge = make_badge("main", state, HISTORY, "status")

    assert badge.colour in COLOURS
    assert badge.message == {"stale": "out of date"}.get(state, state)


@pytest.mark.parametrize(
    ("good", "colour"), [(2880, "brightgreen"), (2878, "brightgreen"), (2870, "orange"), (2800, "red")]
)
def test_colour_of_an_uptime(good: int, colour: str) -> None:
    changed = replace(HISTORY, uptime={**HISTORY.uptime, "24h": Uptime(2880, good)})

    assert make_badge("main", "healthy", changed, "uptime_24h").colour == colour


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100%"), (0.99999, "99.99%"), (57 / 100, "57.00%"), (0.5, "50.00%"), (0.0, "0.00%"), (None, "unknown")],
)
def test_rounds_a_share_down_so_that_only_1_is_100_percent(share: float | None, text: str) -> None:
    assert format_share(share) == text


def test_svg_escapes_the_name_and_has_a_text_alternative() -> None:
    picture = svg(make_badge('<script>&"', "failed", HISTORY, "status"))

    root = ET.fromstring(picture)  # noqa: S314
    assert root.attrib["aria-label"] == '<script>&": failed'
    assert root.findtext("{http://www.w3.org/2000/svg}title") == '<script>&": failed'
    assert not [element for element in root.iter() if element.tag.endswith("script")]


def test_status_is_the_default_measure() -> None:
    assert parse_measure(None) == "status"
    assert [parse_measure(measure) for measure in MEASURES] == list(MEASURES)


@pytest.mark.parametrize("text", ["", "uptime", "uptime_1d", "Status"])
def test_rejects_an_unknown_measure(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Send one of status, uptime_24h"):
        parse_measure(text)
