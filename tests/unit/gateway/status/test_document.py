import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from gateway.core.errors import InvalidRequest
from gateway.heartbeat.rollups import Incident
from gateway.registry.provider import Status
from gateway.status.document import (
    PAGE_SIZE,
    number_of_pages,
    page_of,
    parse_page,
    public_status,
    sort_providers,
    state_of,
    token_status,
)
from tests.status_site import ERROR, empty_history, history, overview, stale
from tests.unit.gateway.builders import AT

FAILED = overview("eu", AT, "failed", default=True)
HISTORY = history(AT, failed_cells=[0], failed_days=[3])
# Everything that a token may read and the public may not.
SECRETS = {
    "default",
    "heartbeats_enabled",
    "latency_ms",
    "ttft_ms",
    "model",
    "consecutive_failures",
    "error",
    "warning",
}


def test_a_token_reads_the_whole_error() -> None:
    """The cause and the remedy are not split: a message of TokenHub may have several sentences."""
    [provider] = token_status([FAILED], {"eu": HISTORY}, 1, AT)["providers"]

    assert provider["state"] == "failed"
    assert provider["since"] == "2026-01-02T02:04:05.678901Z"
    assert (provider["error"], provider["warning"]) == (ERROR, None)
    assert [incident["cause"] for incident in provider["incidents"]] == [ERROR]
    assert provider["consecutive_failures"] == 120


def test_public_data_is_the_tokens_data_without_causes_and_models() -> None:
    private, public = (dict(build([FAILED], {"eu": HISTORY}, 1, AT)) for build in (token_status, public_status))
    [token_view], [public_view] = (cast("list[dict[str, Any]]", data.pop("providers")) for data in (private, public))

    assert public == {**private, "public": True}
    assert token_view.keys() - public_view.keys() == SECRETS
    assert {tuple(incident) for incident in public_view["incidents"]} == {("begin", "end", "seconds", "planned")}
    for secret in ("HTTP 401", "api_key", "gpt-4o", "https://"):
        assert secret not in json.dumps(public_view)


def test_series_have_48_half_hours_and_90_days() -> None:
    [provider] = token_status([FAILED], {"eu": HISTORY}, 1, AT)["providers"]

    cells, days = provider["cells"], provider["days"]
    assert (cells["start"], cells["minutes"]) == ("2026-01-01T03:30:00.000000Z", 30)
    assert [len(cells[name]) for name in ("beats", "good", "latency_ms", "ttft_ms")] == [48] * 4
    assert (cells["beats"][-1], cells["good"][-1], cells["good"][-2]) == (60, 15, 60)
    assert (days["start"], len(days["beats"]), days["good"][-4]) == ("2025-10-05", 90, 2520)
    assert provider["uptime"]["24h"] == round(2835 / 2880, 6)
    assert provider["response_time_ms"]["7d"] == {"p50": 405, "p95": 688}


def test_a_provider_without_heartbeats_has_empty_series() -> None:
    [provider] = token_status([overview("new", AT, "pending")], {"new": empty_history(AT)}, 1, AT)["providers"]

    assert provider["uptime"] == {"24h": None, "7d": None, "30d": None, "90d": None}
    assert provider["cells"]["beats"] == [0] * 48
    assert provider["days"]["beats"] == [0] * 90
    assert (provider["state"], provider["error"], provider["last_heartbeat_at"]) == ("pending", None, None)


def test_shows_until_when_a_provider_is_muted() -> None:
    muted = replace(FAILED, muted_until=AT + timedelta(hours=1))

    shown = [
        provider["muted_until"]
        for build in (token_status, public_status)
        for now in (AT, AT + timedelta(hours=1))
        for provider in build([muted], {"eu": HISTORY}, 1, now)["providers"]
    ]

    assert shown == ["2026-01-02T04:04:05.678901Z", None] * 2


def test_an_ongoing_incident_has_no_end() -> None:
    ongoing = replace(HISTORY, incidents=(Incident(AT - timedelta(hours=1), None, "down"),))

    [provider] = public_status([FAILED], {"eu": ongoing}, 1, AT)["providers"]

    assert provider["incidents"] == [
        {"begin": "2026-01-02T02:04:05.678901Z", "end": None, "seconds": None, "planned": False}
    ]


@pytest.mark.parametrize("status", ["healthy", "failed", "pending"])
def test_a_provider_without_recent_heartbeats_is_stale(status: Status) -> None:
    provider = overview("a", AT, status)

    assert state_of(provider, AT) == status
    assert state_of(provider, AT + timedelta(minutes=2)) == "stale"


def test_sorts_failed_providers_first() -> None:
    names: dict[str, Status] = {
        "healthy-b": "healthy",
        "failed-z": "failed",
        "pending-a": "pending",
        "healthy-a": "healthy",
    }
    providers = [overview(name, AT, status) for name, status in names.items()]
    providers.append(stale(overview("stale-a", AT, "failed"), AT))

    ordered = [provider.id for provider in sort_providers(providers, AT)]

    assert ordered == ["failed-z", "stale-a", "pending-a", "healthy-a", "healthy-b"]


def test_counts_the_providers_of_all_pages() -> None:
    providers = [overview(f"p{number:03}", AT) for number in range(PAGE_SIZE)] + [overview("z", AT, "failed")]

    second = token_status(providers, {"z": HISTORY}, 2, AT)

    assert [provider["id"] for provider in second["providers"]] == ["z"]
    assert (second["page"], second["pages"], second["total"]) == (2, 2, 51)
    assert second["counts"] == {"failed": 1, "stale": 0, "pending": 0, "healthy": 50}


def test_pages_hold_every_provider_once() -> None:
    providers = [overview(f"p{number}", AT) for number in range(2 * PAGE_SIZE + 1)]

    pages = [page_of(providers, page) for page in range(1, number_of_pages(providers) + 1)]

    assert [len(page) for page in pages] == [PAGE_SIZE, PAGE_SIZE, 1]
    assert [provider for page in pages for provider in page] == providers
    assert number_of_pages([]) == 1


def test_a_page_after_the_last_is_the_last() -> None:
    assert [parse_page(text, 3) for text in (None, "1", "3", "4", "9999")] == [1, 1, 3, 3, 3]


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "x", "٢", "10000", "1 "])
def test_rejects_an_invalid_page(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^page is not valid\. Send a whole number from 1\.$"):
        parse_page(text, 3)


def test_a_token_reads_the_warning() -> None:
    substituted = replace(FAILED, health=replace(FAILED.health, last_heartbeat_warning="Another model answered."))

    [provider] = token_status([substituted], {"eu": HISTORY}, 1, AT)["providers"]

    assert provider["warning"] == "Another model answered."


@pytest.mark.parametrize(("length", "end"), [(200, "xx"), (201, "x…"), (500, "x…")])
def test_shortens_the_cause_of_an_incident(length: int, end: str) -> None:
    long = replace(HISTORY, incidents=(Incident(AT, None, "x" * length),))

    [provider] = token_status([FAILED], {"eu": long}, 1, AT)["providers"]

    [incident] = provider["incidents"]
    assert (len(incident["cause"]), incident["cause"][-2:]) == (200, end)


def test_fifty_providers_fit_in_one_answer() -> None:
    """Lambda's limit is 6 MB; a page of this size arrives within a second on a slow line."""
    providers = [overview(f"p{number:02}", AT, "failed") for number in range(PAGE_SIZE)]
    full = history(AT, failed_days=range(1, 11))

    data = token_status(providers, {provider.id: full for provider in providers}, 1, AT)

    assert len(json.dumps(data, separators=(",", ":"))) < 300_000
