"""What the checks of streams see of a TokenHub that is not the rehearsal one: here it only pretends."""

from collections.abc import Iterator

import pytest

from tests.rehearsal import KEY, RunningTokenHub
from tools.smoke.check import Against, Failed
from tools.smoke.streams import first_alone
from tools.smoke.wire import Gateway


@pytest.fixture
def tokenhub() -> Iterator[RunningTokenHub]:
    with RunningTokenHub() as running:
        yield running


def test_a_first_event_before_the_rest_is_told_with_how_long_it_was_alone(tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("slow", times=1, delay_ms=50)

    seen = first_alone(Against(Gateway(tokenhub.url, KEY), None, rehearsal=False))

    assert seen.startswith("1 at 0.")
    assert seen.endswith("s later")


def test_a_stream_that_comes_all_at_once_fails(tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("crlf", times=1)

    with pytest.raises(Failed, match="1 chunks"):
        first_alone(Against(Gateway(tokenhub.url, KEY), None, rehearsal=False))
