"""Three minutes of `make soak`."""

from pathlib import Path

import pytest

from tests.soak.run import Soak

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MINUTES = 3


def test_three_minutes_of_faults_lose_and_leak_nothing(tmp_path: Path) -> None:
    result = Soak(tmp_path / "state", MINUTES, seed=1).run()

    print("\n".join(result.lines()))
    assert result.problems == []
    # Each kind of outcome and of fault must have happened, so that the checks mean something.
    assert result.outcomes["stream: whole"] > 0
    assert result.outcomes["write: acknowledged"] > 0
    assert len(result.faults) == 6
    assert all(result.faults.values())
