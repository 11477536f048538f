import json
from typing import Any

import pytest
from botocore.stub import ANY

from tests.unit.tools.stack_stubs import StackStubs
from tools.local.settings import UserError
from tools.smoke.init_durations import FILTER, NO_LINES, describe_init_durations, init_duration_ms

# The examples of AWS's documentation. JSON has the fields of the Telemetry API.
COLD = {
    "time": "2022-10-12T00:01:15.000Z",
    "type": "platform.report",
    "record": {
        "requestId": "6d68ca91-49c9-448d-89b8-7ca3e6dc66aa",
        "metrics": {
            "billedDurationMs": 694,
            "durationMs": 693.92,
            "initDurationMs": 397.68,
            "maxMemoryUsedMB": 84,
            "memorySizeMB": 128,
        },
        "status": "success",
    },
}
WARM_TEXT = (
    "REPORT RequestId: 8f507cfc-example-4697-b07a-ac58fc914c95\tDuration: 100.89 ms\tBilled Duration: 101 ms\t"
    "Memory Size: 128 MB\tMax Memory Used: 72 MB\t"
)
COLD_TEXT = f"{WARM_TEXT}Init Duration: 132.11 ms\t\n"


def cold(init_ms: float) -> str:
    record = COLD["record"]
    assert isinstance(record, dict)
    return json.dumps(COLD | {"record": record | {"metrics": record["metrics"] | {"initDurationMs": init_ms}}})


def warm() -> str:
    return json.dumps(COLD | {"record": {"metrics": {"durationMs": 2.5, "billedDurationMs": 3}, "status": "success"}})


@pytest.mark.parametrize(
    ("message", "duration"),
    [
        (json.dumps(COLD), 397.68),
        (cold(400), 400.0),
        (warm(), None),
        (COLD_TEXT, 132.11),
        (WARM_TEXT, None),
        # Text that a client chose is not a REPORT line.
        (json.dumps({"message": COLD_TEXT, "initDurationMs": 1}), None),
        (f"about {COLD_TEXT}", None),
    ],
)
def test_reads_the_init_duration_of_cold_starts_only(message: str, duration: float | None) -> None:
    assert init_duration_ms(message) == duration


class Stack(StackStubs):
    def __init__(self, lines: dict[str, list[list[str]]]) -> None:
        """`lines` has the pages of each log group by its logical id."""
        super().__init__(*lines)
        for name, pages in lines.items():
            self._expect(name, pages)

    def _expect(self, name: str, pages: list[list[str]]) -> None:
        for number, page in enumerate(pages):
            answer: dict[str, Any] = {"events": [{"timestamp": 1, "message": message} for message in page]}
            request = {"logGroupName": f"group-{name}", "startTime": ANY, "filterPattern": FILTER}
            answer |= {"nextToken": f"page-{number + 1}"} if number + 1 < len(pages) else {}
            request |= {"nextToken": f"page-{number}"} if number else {}
            self.stubs[1].add_response("filter_log_events", answer, request)

    def clients(self, _environment: str) -> tuple[Any, Any, str]:
        return self.cloudformation, self.logs, "gateway"


def test_shows_median_and_maximum_of_each_function() -> None:
    stack = Stack(
        {
            "AuthorizerLogs": [[cold(300), warm()], [cold(100), cold(120.4)]],
            "StatusLogs": [[warm()]],
            "HeartbeatLogs": [[COLD_TEXT]],
        }
    )

    assert describe_init_durations("dev", stack.clients).splitlines() == [
        "| Init Duration of the last 24 hours | Cold starts | Median, ms | Maximum, ms |",
        "|---|---:|---:|---:|",
        "| authorizer | 3 | 120 | 300 |",
        "| heartbeat | 1 | 132 | 132 |",
    ]


def test_explains_logs_without_an_init_duration() -> None:
    assert describe_init_durations("local", Stack({"AuthorizerLogs": [[warm(), "START"]]}).clients) == NO_LINES


def test_explains_logs_that_cannot_be_read() -> None:
    def clients(_environment: str) -> tuple[Any, Any, str]:
        raise UserError("samconfig.toml has no stack_name for ENV=test.")

    assert describe_init_durations("test", clients) == (
        "Init durations: skipped. The logs of ENV=test cannot be read: samconfig.toml has no stack_name for ENV=test."
    )
