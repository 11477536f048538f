"""The limits of the local system's API server: slots for buffered calls, and changes while nothing can be saved."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.rehearsal import wait_until
from tests.unit.tools.local.running_server import serving

TOKEN = {"Authorization": "Bearer admin"}


def test_refuses_changes_while_nothing_can_be_saved() -> None:
    with (
        serving(save_failure="No space left on device") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        response = client.post("/api/v1/providers", headers=TOKEN)
        reading = client.get("/api/v1/providers/a", headers=TOKEN)

    assert (response.status_code, response.json()["error"]["code"]) == (507, "not_saved")
    assert "No space left on device" in response.json()["error"]["message"]
    assert (reading.status_code, len(server.api_gateway.requests)) == (200, 1)


def test_refuses_heartbeats_before_the_token_is_checked_while_nothing_can_be_saved() -> None:
    with (
        serving(save_failure="No space left on device") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        response = client.post("/api/v1/providers/a/heartbeat", headers={"Authorization": "Bearer wrong"})

    assert (response.status_code, response.json()["error"]["code"]) == (507, "not_saved")
    assert server.api_gateway.requests == []


def test_bounds_the_buffered_calls_that_run_at_once() -> None:
    with serving(slots=2) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        server.api_gateway.hold = hold = threading.Event()
        with ThreadPoolExecutor(8) as pool:
            answers = [pool.submit(client.get, "/health") for _ in range(8)]
            assert wait_until(lambda: server.api_gateway.running == 2)
            # A third call would begin meanwhile.
            time.sleep(0.3)
            hold.set()

    assert [answer.result().status_code for answer in answers] == [200] * 8
    assert server.api_gateway.max_running == 2


def test_calls_that_wait_for_a_heartbeat_have_separate_slots() -> None:
    with serving(slots=1) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        server.api_gateway.hold = hold = threading.Event()
        with ThreadPoolExecutor(4) as pool:
            beats = [pool.submit(client.post, "/api/v1/providers/a/heartbeat", headers=TOKEN) for _ in range(3)]
            assert wait_until(lambda: server.api_gateway.running >= 2)
            server.api_gateway.hold = None
            quick = client.get("/health")
            assert not all(beat.done() for beat in beats)
            hold.set()
        assert [beat.result().status_code for beat in beats] == [200] * 3

    assert quick.status_code == 200
