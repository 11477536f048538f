"""One tick over 1,000 providers, the maximum, against a local AWS on this machine."""

import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

from tools.bench.tick import RESPONSE_DELAY_S, Bench, running

THOUSAND = 1000
# A tick that waited for each response before the next request would take 200 s. Most of what it really takes is CPU
# time, so the bound is wide: a slow machine must not fail it.
MAX_SECONDS = THOUSAND * RESPONSE_DELAY_S / 5
MAX_MB = 256
# Few enough to start all of them within the timeout of one, on a slow machine too.
BESIDE_A_HANGING_ONE = 300
HEARTBEAT_TIMEOUT_S = 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with running() as started:
        yield started


def test_checks_1000_providers_in_parallel_within_256_mb(bench: Bench) -> None:
    bench.register(THOUSAND, age_s=3600)

    [figures] = bench.tick()

    print({name: figures[name] for name in ("seconds", "cpu_s", "peak_mb", "calls")})
    assert bench.count_history() == THOUSAND
    assert bench.count_recently_healthy(3000) == THOUSAND
    assert figures["result"]["beaten"] == THOUSAND
    assert figures["peak_mb"] < MAX_MB
    assert figures["seconds"] < MAX_SECONDS


def test_a_hanging_provider_delays_no_other(bench: Bench) -> None:
    bench.register(BESIDE_A_HANGING_ONE, hanging=1)

    [figures] = bench.tick()

    pages = bench.dynamodb.get_paginator("scan").paginate(TableName="heartbeats")
    heartbeats = [item for page in pages for item in page["Items"]]
    started = sorted(datetime.fromisoformat(item["at"]["S"]) for item in heartbeats)
    seconds_to_start_all = (started[-1] - started[0]).total_seconds()
    print(figures["seconds"], seconds_to_start_all)
    assert len(heartbeats) == BESIDE_A_HANGING_ONE
    assert [item["provider_id"]["S"] for item in heartbeats if not item["good"]["BOOL"]] == ["provider-0000"]
    # A heartbeat behind the hanging one would start after its timeout.
    assert seconds_to_start_all < HEARTBEAT_TIMEOUT_S
    assert HEARTBEAT_TIMEOUT_S <= figures["seconds"] < HEARTBEAT_TIMEOUT_S + seconds_to_start_all + 3
