import pytest

from tests.soak.usage import Usage, has_grown

BEFORE = Usage(processes=6, megabytes=500, sockets=50)


@pytest.mark.parametrize(
    "after",
    [BEFORE, Usage(5, 400, 30), Usage(8, 540, 70), Usage(6, 560, 50)],
    ids=["the same", "less", "the usual differences", "log lines"],
)
def test_accepts_what_a_system_keeps_after_1000_requests(after: Usage) -> None:
    assert not has_grown(BEFORE, after, 1000)


@pytest.mark.parametrize("after", [Usage(9, 500, 50), Usage(6, 561, 50), Usage(6, 500, 71)])
def test_reports_more_processes_memory_or_sockets(after: Usage) -> None:
    assert has_grown(BEFORE, after, 1000)
