from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree as ET

from gateway.heartbeat.rollups import Incident
from gateway.status.feed import MAX_ENTRIES, feed
from tests.status_site import ERROR, empty_history, overview
from tests.unit.gateway.builders import AT

ATOM = "{http://www.w3.org/2005/Atom}"
PROVIDER = overview("eu", AT, "failed", name="Tom & Jerry <eu>")
OVER = Incident(AT - timedelta(hours=3), AT - timedelta(hours=2), ERROR)
ONGOING = Incident(AT - timedelta(hours=1), None, ERROR)


def parsed(*incidents: Incident, host: str = "gateway.example.com") -> ET.Element:
    history = replace(empty_history(AT), incidents=incidents)
    return ET.fromstring(feed([PROVIDER], {"eu": history}, host, AT))  # noqa: S314


def texts(root: ET.Element, name: str) -> list[str | None]:
    return [entry.findtext(f"{ATOM}{name}") for entry in root.findall(f"{ATOM}entry")]


def test_lists_incidents_newest_first() -> None:
    root = parsed(OVER, ONGOING)

    assert texts(root, "title") == ["Tom & Jerry <eu> failed", "Tom & Jerry <eu> recovered"]
    assert texts(root, "published") == ["2026-01-02T02:04:05.678901Z", "2026-01-02T00:04:05.678901Z"]
    assert texts(root, "updated") == ["2026-01-02T02:04:05.678901Z", "2026-01-02T01:04:05.678901Z"]
    assert root.findtext(f"{ATOM}updated") == "2026-01-02T02:04:05.678901Z"


def test_has_the_elements_that_atom_requires() -> None:
    root = parsed(OVER)

    for element in (root, *root.findall(f"{ATOM}entry")):
        assert all(element.findtext(f"{ATOM}{name}") for name in ("id", "title", "updated"))
    assert root.find(f"{ATOM}author/{ATOM}name") is not None


def test_names_no_cause() -> None:
    text = feed([PROVIDER], {"eu": replace(empty_history(AT), incidents=(OVER,))}, "gateway.example.com", AT)

    assert "401" not in text
    assert "api_key" not in text


def test_ids_stay_when_an_incident_ends() -> None:
    ended = replace(ONGOING, end=AT)

    assert texts(parsed(ONGOING), "id") == texts(parsed(ended), "id")
    assert texts(parsed(ONGOING), "id") != texts(parsed(ONGOING, host="other.example.com"), "id")


def test_is_valid_without_incidents() -> None:
    root = parsed()

    assert root.findall(f"{ATOM}entry") == []
    assert root.findtext(f"{ATOM}updated") == "2026-01-02T03:04:05.678901Z"


def test_limits_the_entries() -> None:
    incidents = [replace(OVER, begin=AT - timedelta(hours=number)) for number in range(MAX_ENTRIES + 5)]

    root = parsed(*incidents)

    assert len(root.findall(f"{ATOM}entry")) == MAX_ENTRIES
    assert texts(root, "published")[0] == "2026-01-02T03:04:05.678901Z"


def test_links_are_relative() -> None:
    links = [link.attrib["href"] for link in parsed(OVER).iter(f"{ATOM}link")]

    assert set(links) == {"feed.atom", "../../status"}
