from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.errors import InvalidRequest
from gateway.registry.muting import MAX_MUTE, check_muted_until
from gateway.registry.schemas import provider_view
from gateway.registry.service import Registry
from gateway.registry.store import ProviderStore
from tests.unit.gateway.builders import AT, a_provider, after, patch, replacement, wanted

FIVE = "2026-01-03T05:00:00Z"
SIX = "2026-01-03T06:00:00Z"
AT_FIVE = datetime(2026, 1, 3, 5, tzinfo=UTC)


def test_a_patch_mutes_without_a_new_version_and_null_ends_it(registry: Registry) -> None:
    before = registry.register(wanted()).provider

    muted = registry.patch("main", patch(muted_until=FIVE))
    renamed = registry.patch("main", patch(name="Other")).provider
    ended = registry.patch("main", patch(muted_until=None)).provider

    assert (muted.provider.muted_until, muted.reset) == (AT_FIVE, False)
    assert (renamed.muted_until, ended.muted_until) == (AT_FIVE, None)
    assert {before.version} == {muted.provider.version, renamed.version, ended.version}
    assert len({before.revision, muted.provider.revision, renamed.revision, ended.revision}) == 4


@pytest.mark.parametrize("put", [True, False])
def test_a_replacement_keeps_an_omitted_mute(registry: Registry, put: bool) -> None:
    def change(**fields: Any) -> datetime | None:
        result = registry.replace("main", replacement(**fields)) if put else registry.register(wanted(**fields))
        return result.provider.muted_until

    registered = registry.register(wanted(muted_until=FIVE)).provider.muted_until

    assert [registered, change(name="Other"), change(muted_until=SIX), change(muted_until=None)] == [
        AT_FIVE,
        AT_FIVE,
        AT_FIVE + timedelta(hours=1),
        None,
    ]


@pytest.mark.parametrize(
    ("until", "message"),
    [
        (AT, "muted_until is in the past. Send a later time, or null to end the mute."),
        (
            AT + MAX_MUTE + timedelta(seconds=1),
            "muted_until is more than 30 days ahead. Send an earlier time, and extend it later.",
        ),
    ],
)
def test_rejects_a_mute_in_the_past_or_beyond_30_days(until: datetime, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_muted_until(until, AT)

    assert (caught.value.message, caught.value.param) == (message, "muted_until")
    check_muted_until(AT + MAX_MUTE, AT)


@pytest.mark.parametrize("until", ["2020-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_every_way_to_change_a_provider_checks_the_limits(registry: Registry, until: str) -> None:
    with pytest.raises(InvalidRequest):
        registry.register(wanted(muted_until=until))
    registry.register(wanted())
    with pytest.raises(InvalidRequest):
        registry.register(wanted(muted_until=until))
    with pytest.raises(InvalidRequest):
        registry.replace("main", replacement(muted_until=until))
    with pytest.raises(InvalidRequest):
        registry.patch("main", patch(muted_until=until))
    assert registry.register(wanted()).provider.muted_until is None


def test_repeating_a_registration_after_its_mute_changes_nothing(registry: Registry, providers: ProviderStore) -> None:
    providers.create(a_provider(muted_until=AT - timedelta(days=1)))

    repeated = registry.register(wanted(muted_until="2026-01-01T03:04:05.678901Z")).provider

    assert repeated == providers.get("main")
    assert repeated.revision == "r1"


@pytest.mark.parametrize(
    "text",
    ["2026-01-03T05:00:00Z", "2026-01-03t05:00:00.000z", "2026-01-03 06:30:00+01:30", "2026-01-03T05:00:00.000000000Z"],
)
def test_accepts_rfc_3339_times_with_a_zone(text: str) -> None:
    assert patch(muted_until=text).muted_until == AT_FIVE


@pytest.mark.parametrize(
    "value",
    [
        *("", "soon", "2026-01-03", "2026-01-03T05:00:00", "20260103T050000Z", "2026-13-03T05:00:00Z"),
        *("2026-01-03T05:00:60Z", "2026-01-03T05:00:00Z\n", "2026-01-0٣T05:00:00Z", 1767416400, True, {}),
    ],
)
def test_rejects_other_values(value: object) -> None:
    for build in (patch, wanted):
        with pytest.raises(ValidationError) as caught:
            build(muted_until=value)
        [error] = caught.value.errors()
        assert (error["loc"], error["type"]) == (("muted_until",), "invalid_time")


def test_the_view_shows_the_time_until_it_is_over() -> None:
    provider = a_provider(muted_until=after(60))

    assert provider_view(provider, after(59)).muted_until == "2026-01-02T03:05:05.678901Z"
    assert provider_view(provider, after(60)).muted_until is None
