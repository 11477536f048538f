"""The stream checks for a real TokenHub. The rehearsal TokenHub stands in for it."""

from collections.abc import Iterator

import pytest

from tests.rehearsal import KEY, RunningTokenHub
from tools.smoke.check import Failed, Target
from tools.smoke.streams import first_event
from tools.smoke.wire import Gateway


@pytest.fixture
def tokenhub() -> Iterator[RunningTokenHub]:
    with RunningTokenHub() as running:
        yield running


def test_reports_the_time_between_the_first_two_events(tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("slow", times=1, delay_ms=50)

    actual = first_event(Target(Gateway(tokenhub.url, KEY), None, is_rehearsal=False))

    assert actual.startswith("1 after 0.")
    assert actual.endswith("s later")


def test_rejects_a_stream_in_one_piece(tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("crlf", times=1)

    with pytest.raises(Failed, match="1 chunks"):
        first_event(Target(Gateway(tokenhub.url, KEY), None, is_rehearsal=False))
