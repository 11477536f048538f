from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.registry.provider import Health, HeartbeatSettings, Provider, format_timestamp, origin_of, parse_timestamp
from tests.unit.gateway.builders import AT, BRIEFLY, a_provider

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive


@BRIEFLY
@given(MOMENTS)
def test_timestamp_round_trips(when: datetime) -> None:
    assert parse_timestamp(format_timestamp(when)) == when


@BRIEFLY
@given(MOMENTS, MOMENTS)
def test_timestamps_sort_as_text(one: datetime, other: datetime) -> None:
    assert (format_timestamp(one) < format_timestamp(other)) == (one < other)


def test_timestamp_is_rfc_3339_in_utc_with_microseconds() -> None:
    assert format_timestamp(AT) == "2026-01-02T03:04:05.678901Z"
    assert format_timestamp(AT.replace(microsecond=0)) == "2026-01-02T03:04:05.000000Z"
    assert format_timestamp(AT.astimezone(timezone(timedelta(hours=2)))) == "2026-01-02T03:04:05.678901Z"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://tokenhub.example.com/v1", "https://tokenhub.example.com"),
        ("http://10.0.0.1:8090/v1", "http://10.0.0.1:8090"),
        ("https://[fd00::1]:8090/a/b", "https://[fd00::1]:8090"),
    ],
)
def test_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin
    assert a_provider(endpoint=url).origin == origin


def test_new_provider_is_pending_with_heartbeats_enabled() -> None:
    provider = Provider("main", "main", "openai", "https://a.example/v1", "", "v1", "r1", AT, AT)
    assert provider.health == Health("pending", None, None, None, None, None, None, 0, None)
    assert provider.heartbeat == HeartbeatSettings(enabled=True, model=None, max_tokens=16)
    assert (provider.default, provider.model, provider.key_ciphertext) == (False, None, None)


def test_repr_does_not_contain_the_ciphertext() -> None:
    assert "hidden-bytes" not in repr(a_provider(key_ciphertext=b"hidden-bytes"))
