import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.scripted_server import ScriptedServer, always, answer
from tools.local.settings import REPOSITORY, UserError
from tools.ops.gateway import Gateway
from tools.ops.health import ATTENTION, HEALTHY, UNKNOWN, check, watch
from tools.ops.health_table import format_table

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def provider(name: str = "main", status: str = "healthy", **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "status": status,
        "status_changed_at": "2026-01-02T09:00:00.000000Z",
        "last_heartbeat_at": "2026-01-02T11:59:48.000000Z",
        "last_heartbeat_latency_ms": 840,
        "last_heartbeat_error": None,
        "stale": False,
        "heartbeat": {"enabled": True, "model": None, "max_tokens": 16},
        "muted_until": None,
    } | changes


FAILED = provider("other", "failed", last_heartbeat_error="HTTP 401: invalid api key. Register it again.")
STALE = provider("stale", stale=True)
OFF = provider("quiet", stale=True, heartbeat={"enabled": False})
NEW = provider("new", "pending", status_changed_at=None, last_heartbeat_at=None, last_heartbeat_latency_ms=None)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def serving(*providers: dict[str, Any]) -> ScriptedServer:
    return ScriptedServer(always(answer(body=json.dumps(providers).encode())))


def gateway(server: ScriptedServer) -> Gateway:
    return Gateway(server.url.removesuffix("/v1"), "token", uses_proxy=False)


def test_lists_providers_aligned_with_the_failed_ones_first() -> None:
    muted = FAILED | {"muted_until": "2026-01-02T14:30:00.000000Z"}
    table = format_table([provider(), NEW, OFF, STALE, muted], NOW, width=None, colour=False)
    assert table.splitlines() == [
        "PROVIDER  STATUS                 SINCE  LAST BEAT  LATENCY  ERROR",
        "other     failed, muted for 2 h  3 h    12 s       840 ms   HTTP 401: invalid api key. Register it again.",
        "stale     healthy, stale         3 h    12 s       840 ms",
        "new       pending                -      -          -",
        "main      healthy                3 h    12 s       840 ms",
        "quiet     healthy, beats off     3 h    12 s       840 ms",
    ]


@pytest.mark.parametrize("width", [60, 80])
def test_cuts_errors_to_the_width_of_the_terminal(width: int) -> None:
    table = format_table([FAILED], NOW, width=width, colour=False)
    assert len(table.splitlines()[1]) == width
    assert table.endswith("…")


def test_replaces_control_characters_in_an_error() -> None:
    assert "\x1b" not in format_table(
        [FAILED | {"last_heartbeat_error": "a\x1b[2Jb\nc"}], NOW, width=None, colour=False
    )


def test_colours_keep_the_columns_aligned() -> None:
    plain = format_table([provider(), FAILED], NOW, width=80, colour=False)
    painted = format_table([provider(), FAILED], NOW, width=80, colour=True)
    assert painted.replace("\x1b[31m", "").replace("\x1b[32m", "").replace("\x1b[0m", "") == plain
    assert "\x1b[31mfailed" in painted


def test_says_so_when_no_provider_is_registered() -> None:
    assert format_table([], NOW, width=80, colour=True) == "No provider is registered."


@pytest.mark.parametrize(
    ("providers", "code"),
    [
        ([], HEALTHY),
        ([provider(), NEW, OFF], HEALTHY),
        ([provider(), FAILED], ATTENTION),
        ([provider(), STALE], ATTENTION),
        ([FAILED | {"heartbeat": {"enabled": False}}], ATTENTION),
        ([FAILED | {"muted_until": "2026-01-02T14:30:00.000000Z"}], ATTENTION),
    ],
)
def test_exit_code_says_whether_a_provider_is_failed_or_stale(providers: list[dict[str, Any]], code: int) -> None:
    with serving(*providers) as server:
        assert check(gateway(server), io.StringIO(), {}) == code
        assert server.requests[0].target == "/api/v1/providers"
        assert server.requests[0].headers["authorization"] == "Bearer token"


@pytest.mark.parametrize(
    ("output", "environ", "colour"),
    [(Terminal(), {}, True), (Terminal(), {"NO_COLOR": "1"}, False), (io.StringIO(), {}, False)],
    ids=["terminal", "NO_COLOR", "pipe"],
)
def test_paints_terminals_only(output: io.StringIO, environ: dict[str, str], *, colour: bool) -> None:
    with serving(FAILED) as server:
        check(gateway(server), output, environ)
    assert ("\x1b[31m" in output.getvalue()) == colour


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (answer(403, b'{"error": {"message": "Use the admin token."}}'), r"answered 403: Use the admin token\.$"),
        (answer(502, b"<html>"), r"answered 502\. Check the URL of the stack\.$"),
        (answer(body=b"<html>"), r"cannot be reached"),
        (answer(body=b"{}"), r"something other than providers\."),
    ],
)
def test_explains_an_answer_that_is_not_a_list_of_providers(response: bytes, message: str) -> None:
    with ScriptedServer(always(response)) as server, pytest.raises(UserError, match=message):
        gateway(server).providers()


def test_explains_an_unreachable_gateway() -> None:
    with pytest.raises(UserError, match=r"^The gateway at http://127\.0\.0\.1:1 cannot be reached: "):
        Gateway("http://127.0.0.1:1", "token", uses_proxy=False).providers()


def test_a_gateway_does_not_show_its_token() -> None:
    assert "secret" not in repr(Gateway("http://127.0.0.1:1", "secret"))


def test_watch_repeats_and_survives_an_unreachable_gateway() -> None:
    output, slept = io.StringIO(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    answers: Iterator[Any] = iter([answer(502, b""), *[answer(body=json.dumps([FAILED]).encode())] * 2])
    with ScriptedServer(lambda _: (next(answers),)) as server:
        assert watch(gateway(server), output, {}, sleep) == ATTENTION
    assert slept == [10, 10, 10]
    assert output.getvalue().count("answered 502") == 1
    assert output.getvalue().count("other     failed") == 2


def test_exits_with_2_and_one_sentence_when_the_local_system_does_not_run() -> None:
    environ = os.environ | {"AWS_PORT": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tools.ops.health"],
        env=environ,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (UNKNOWN, "")
    assert done.stderr == (
        "The local AWS is not running at http://127.0.0.1:1. Start it with `make dev`, or set AWS_PORT to its port.\n"
    )
