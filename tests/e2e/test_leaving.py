"""Clients that disconnect and providers that fail leave no thread, socket or memory behind."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Gateway
from tests.e2e.failure_table import FAULTS
from tests.local_system import free_ports
from tests.rehearsal import chat_body, wait_until
from tests.scripted_server import Pieces, Request, ScriptedServer, response

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PARAMETERS = "ConnectSeconds=1 FirstByteSeconds=2 StreamIdleSeconds=2 WholeSeconds=2.5 KeepAliveSeconds=0.4"
FAULTY_REQUESTS = 100
MAX_GROWTH_KB = 20 * 1024

CHUNK = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
RESPONSES = {
    "good": response((CHUNK, b"data: [DONE]\n\n")),
    "talking": response((CHUNK, 0.1) * 100),
    "silent": response((CHUNK, 0.5, CHUNK), ending="hang"),
    "no head": (0.7, *response(ending="hang")),
}


def play(request: Request) -> Pieces:
    asked = request.json()
    model = asked["model"]
    return RESPONSES[model] if model in RESPONSES else FAULTS[model][0 if asked.get("stream") else 1]


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedServer]:
    with ScriptedServer(play) as running:
        yield running


@pytest.fixture(scope="module")
def client(gateway: Gateway, upstream: ScriptedServer) -> Iterator[httpx.Client]:
    gateway.register("raw", upstream.url)
    gateway.register("refused", f"http://127.0.0.1:{free_ports(1)[0]}/v1")
    with gateway.client(**{"X-Provider-Id": "raw"}) as client:
        yield client


def workers(gateway: Gateway) -> list[int]:
    """The processes that run the completions function."""
    return [int(line.split()[0]) for line in gateway.system.processes() if "-m awslambdaric" in line]


def is_good(client: httpx.Client) -> bool:
    answer = client.post("/v1/chat/completions", json=chat_body("a", model="good", stream=True))
    return answer.status_code == 200 and answer.text.endswith("data: [DONE]\n\n")


def leave_after_first(client: httpx.Client, model: str) -> float:
    """Returns the monotonic time at which the client disconnected."""
    with client.stream("POST", "/v1/chat/completions", json=chat_body("a", model=model, stream=True)) as answer:
        next(answer.iter_raw())
    return time.monotonic()


def closes_within_a_second(client: httpx.Client, upstream: ScriptedServer, model: str) -> bool:
    left = leave_after_first(client, model)
    seen = upstream.requests[-1]
    assert wait_until(lambda: seen.left_at is not None)
    assert seen.left_at is not None
    print(f"{model}: closed {seen.left_at - left:.2f} s after the client left")
    return seen.left_at - left < 1


@pytest.mark.parametrize("model", ["talking", "silent", "no head"])
def test_closes_the_upstream_connection_within_a_second_after_the_client_leaves(
    gateway: Gateway, client: httpx.Client, upstream: ScriptedServer, model: str
) -> None:
    assert is_good(client)
    before = workers(gateway)

    # A stalled machine may delay one attempt.
    assert any(closes_within_a_second(client, upstream, model) for _ in range(3))
    assert wait_until(lambda: is_good(client))
    # A new worker may have started while the old one was busy.
    assert set(before) <= set(workers(gateway))


@dataclass(frozen=True)
class Held:
    """What a process holds: threads, sockets and resident kilobytes."""

    threads: int
    sockets: int
    kilobytes: int

    def holds_no_more_than(self, other: "Held") -> bool:
        return self.threads <= other.threads and self.sockets <= other.sockets


def held(pid: int) -> Held:
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    status = {name: value.strip() for name, _, value in lines}
    sockets = 0
    for number in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets += str(number.readlink()).startswith("socket:")
        except FileNotFoundError:
            # Closed after iterdir() listed it.
            continue
    return Held(int(status["Threads"]), sockets, int(status["VmRSS"].removesuffix(" kB")))


def settled(pid: int, then: Held) -> bool:
    return held(pid).holds_no_more_than(then)


def faulty(client: httpx.Client, upstream: ScriptedServer, kind: str) -> None:
    """Sends one failing request. A kind is a fault of the provider, with or without a stream, or of the client."""
    fault, _, how = kind.rpartition("/")
    if how == "left":
        leave_after_first(client, fault)
        seen = upstream.requests[-1]
        assert wait_until(lambda: seen.left_at is not None)
        # The environment becomes free again.
        time.sleep(0.3)
        return
    bad = {"no JSON": "{", "refused": chat_body("a"), "no such provider": chat_body("a")}.get(fault)
    body = bad or chat_body("a", model=fault, stream=how == "stream")
    named = {"refused": "refused", "no such provider": "nobody"}.get(fault, "raw")
    sent = {"content": body} if isinstance(body, str) else {"json": body}
    answer = client.post("/v1/chat/completions", headers={"X-Provider-Id": named}, **sent)
    assert answer.status_code >= 400 or "event: error" in answer.text or fault in HARMLESS


# The gateway relays these unchanged to a request without a stream.
HARMLESS = {"a page", "not a stream", "a late answer that is not a stream"}
KINDS = [f"{fault}/{how}" for fault in FAULTS for how in ("stream", "whole")]
KINDS += ["no JSON/-", "refused/-", "no such provider/-", "talking/left", "silent/left", "no head/left"]


def test_one_hundred_faulty_requests_leak_no_thread_socket_or_memory(
    gateway: Gateway, client: httpx.Client, upstream: ScriptedServer
) -> None:
    for kind in KINDS:
        faulty(client, upstream, kind)
    assert wait_until(lambda: is_good(client))
    # Longer than every limit, so that all threads have ended.
    time.sleep(3)
    before = {pid: held(pid) for pid in workers(gateway)}

    for kind in islice(cycle(KINDS), FAULTY_REQUESTS):
        faulty(client, upstream, kind)
    assert wait_until(lambda: is_good(client))

    # The pool ends a worker that was idle for a minute, but never the last one.
    remaining = set(before) & set(workers(gateway))
    assert remaining
    for pid in remaining:
        then = before[pid]
        assert wait_until(partial(settled, pid, then), 10), (then, held(pid))
        now = held(pid)
        print(f"before {then}, after {FAULTY_REQUESTS} faulty requests {now}")
        assert now.kilobytes - then.kilobytes < MAX_GROWTH_KB
    assert upstream.open_connections <= len(workers(gateway))
