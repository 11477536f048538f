import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.tools.stack_stubs import StackStubs
from tools.local.settings import REPOSITORY, UserError
from tools.ops.log_search import LogSearch
from tools.ops.trace import UNKNOWN, check_id, parse_since, trace

ENDED_AT = 1_767_355_203_500
REQUEST = {
    "level": "INFO",
    "message": "request",
    "request_id": "gateway-1",
    "client_request_id": "mine-1",
    "response_id": "chatcmpl-1",
    "path": "/chat/completions",
    "provider": "main",
    "status": 200,
    "code": None,
    "stream": True,
    "stream_end": "done",
    "request_bytes": 1234,
    "bytes": 5678,
    "chunks": 12,
    "provider_ms": 412,
    "ttfb_ms": 420,
    "duration_ms": 2600,
    "prompt_tokens": 3,
    "completion_tokens": 5,
    "model_asked": "gpt-4o",
    "model_served": "gpt-4o-2024",
}
OTHER = REQUEST | {"request_id": "gateway-2", "client_request_id": None, "response_id": "x", "model_asked": "mine-1"}
FAULT = {"level": "ERROR", "message": "unforeseen", "request_id": "gateway-1"}
ACCESS = {"requestId": "gateway-1", "method": "POST", "status": "200", "latencyMs": "2610", "errorType": "-"}


ANSWERED = "model gpt-4o-2024, prompt tokens 3, completion tokens 5, id chatcmpl-1"


class Stack(StackStubs):
    """`expect` queues the answers of one search."""

    def expect(self, group: str, value: str, *lines: dict[str, Any], after: str = "", next_token: str = "") -> None:
        events = [{"timestamp": ENDED_AT, "message": json.dumps(line)} for line in lines]
        answer: dict[str, Any] = {"events": events} | ({"nextToken": next_token} if next_token else {})
        request = {"logGroupName": f"group-{group}", "startTime": 5, "filterPattern": f'"{value}"'}
        self.stubs[1].add_response("filter_log_events", answer, request | ({"nextToken": after} if after else {}))

    def search(self, **options: Any) -> LogSearch:
        return LogSearch(self.cloudformation, self.logs, "gateway", 5, **options)

    def assert_all_called(self) -> None:
        for stub in self.stubs:
            stub.assert_no_pending_responses()


@pytest.mark.parametrize("value", ["mine-1", "chatcmpl-1"])
def test_finds_a_request_by_the_callers_id_and_by_the_answers_id(value: str) -> None:
    stack = Stack("CompletionsLogs", "AccessLogGroup")
    stack.expect("CompletionsLogs", value, REQUEST, OTHER)
    stack.expect("AccessLogGroup", value)
    stack.expect("CompletionsLogs", "gateway-1", FAULT, REQUEST)
    stack.expect("AccessLogGroup", "gateway-1", ACCESS)

    report, is_found = trace(value, stack.search(), "24h")

    assert is_found
    assert report.splitlines()[:6] == [
        "Request gateway-1",
        "  2026-01-02 12:00:00.900 UTC",
        "        0 ms  request     /chat/completions, 1,234 bytes, stream, model gpt-4o, the caller's id mine-1",
        "              provider    main: its response began 412 ms after it was sent",
        "      420 ms  first byte  sent to the client",
        "     2600 ms  end         status 200, stream ended done, 5,678 bytes, chunks 12, " + ANSWERED,
    ]
    assert report.count("message") == 0
    assert "access log: requestId=gateway-1 method=POST status=200 latencyMs=2610" in report
    assert "unforeseen" in report
    assert "gateway-2" not in report
    stack.assert_all_called()


def test_finds_a_request_by_the_gateways_id_in_one_search() -> None:
    stack = Stack("CompletionsLogs", "ProvidersLogs")
    line = {"level": "INFO", "message": "api request", "request_id": "gateway-1", "route": "/api/v1/providers"}
    stack.expect("CompletionsLogs", "gateway-1")
    stack.expect("ProvidersLogs", "gateway-1", line)

    report, is_found = trace("gateway-1", stack.search(), "24h")

    assert is_found
    assert "providers" in report
    assert "route=/api/v1/providers" in report
    assert report.endswith("Access logs are off. The parameter AccessLogs turns them on.")
    stack.assert_all_called()


def test_finds_a_request_that_api_gateway_rejected() -> None:
    stack = Stack("CompletionsLogs", "AccessLogGroup")
    stack.expect("CompletionsLogs", "gateway-1")
    stack.expect("AccessLogGroup", "gateway-1", ACCESS | {"status": "401", "errorType": "UNAUTHORIZED"})

    report, is_found = trace("gateway-1", stack.search(), "24h")

    assert is_found
    assert "errorType=UNAUTHORIZED" in report


def test_reads_every_page() -> None:
    stack = Stack("CompletionsLogs")
    stack.expect("CompletionsLogs", "gateway-1", next_token="t1")
    stack.expect("CompletionsLogs", "gateway-1", after="t1", next_token="t2")
    stack.expect("CompletionsLogs", "gateway-1", REQUEST, after="t2")

    assert trace("gateway-1", stack.search(), "24h")[1]
    stack.assert_all_called()


def test_stops_at_the_time_limit_and_says_so() -> None:
    stack = Stack("CompletionsLogs")
    stack.expect("CompletionsLogs", "gateway-1", next_token="t1")
    clock: Callable[[], float] = itertools.count(0, 100).__next__

    report, is_found = trace("gateway-1", stack.search(clock=clock), "7d")

    assert not is_found
    assert report.endswith("The search took too long and is incomplete. Set a shorter SINCE.")
    stack.assert_all_called()


@pytest.mark.parametrize(
    ("groups", "access_logs"),
    [(["CompletionsLogs"], "Access logs are off."), (["AccessLogGroup"], "The access logs have no line either.")],
)
def test_explains_why_no_line_may_be_found(groups: list[str], access_logs: str) -> None:
    stack = Stack(*groups)
    stack.expect(groups[0], "nobody")

    report, is_found = trace("nobody", stack.search(), "24h")

    assert not is_found
    assert report.startswith("No log line of the last 24h has the id nobody.\n")
    assert access_logs in report
    for reason in ("SINCE=7d", "LogRetentionDays", "a minute", "[redacted]", "LogLevel", "rejected"):
        assert reason in report


def test_shows_a_request_that_reached_no_provider() -> None:
    stack = Stack("CompletionsLogs")
    unsent = {"provider": None, "provider_ms": None, "ttfb_ms": None, "status": 503, "code": "no_provider"}
    stack.expect("CompletionsLogs", "gateway-1", REQUEST | unsent)

    report, _ = trace("gateway-1", stack.search(), "24h")

    assert "the request was sent to no provider" in report
    assert "status 503, code no_provider" in report
    assert "first byte" not in report


def test_replaces_control_characters_of_callers() -> None:
    stack = Stack("CompletionsLogs")
    stack.expect("CompletionsLogs", "gateway-1", REQUEST | {"model_asked": "a\x1b[2Jb"})

    assert "\x1b" not in trace("gateway-1", stack.search(), "24h")[0]


@pytest.mark.parametrize(("text", "hours"), [("30m", 0.5), ("24h", 24), ("7d", 168)])
def test_reads_how_far_back_to_search(text: str, hours: float) -> None:
    assert parse_since(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "24", "h", "0h", "-1h", "1w", "99999d", "1h\n"])
def test_rejects_other_durations(text: str) -> None:
    with pytest.raises(UserError, match="SINCE must be"):
        parse_since(text)


@pytest.mark.parametrize("value", ["", "a b", 'a"b', "a\\b", "é", "a" * 129, "a\n"])
def test_rejects_an_id_that_no_log_line_has(value: str) -> None:
    with pytest.raises(UserError, match="ID must have"):
        check_id(value)


def test_exits_with_2_when_the_logs_cannot_be_read() -> None:
    command = [sys.executable, "-m", "tools.ops.trace", "gateway-1"]
    environ = os.environ | {"AWS_PORT": "1"}
    done = subprocess.run(command, env=environ, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (UNKNOWN, "")
    assert done.stderr.startswith("The logs cannot be read: ")
    assert "make dev" in done.stderr
