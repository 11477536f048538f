"""`make bench BENCH=tick`: measures one tick over 1, 10, 100 and 1,000 providers that respond after 200 ms.

The heartbeat function, the providers and the local AWS run in separate processes on one machine. On AWS the other two
take no CPU time from the function.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from gateway.registry.items import health_item, registry_item
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.provider import Health, Provider, format_timestamp
from tests.local_system import free_ports
from tests.template import ROOT, table
from tools.local import aws
from tools.local.settings import ACCOUNT, EMULATOR, REGION

RESPONSE_DELAY_S = 0.2
COUNTS = (1, 10, 100, 1000)
TABLES = {"providers": "ProvidersTable", "heartbeats": "HeartbeatsTable", "roll-ups": "RollUpsTable"}
# A new provider is rolled up in its first tick. These are old, so that a tick rolls up a sixtieth of them.
PROVIDER_AGE = timedelta(days=3)
TICK_INTERVAL = timedelta(seconds=30)
PATHS = f"{ROOT}:{ROOT / 'layers/gateway'}"


@dataclass(frozen=True)
class Bench:
    """A running local AWS and a running provider."""

    aws_url: str
    provider_url: str
    key_arn: str
    folder: Path
    aws_process: int

    def aws_cpu_s(self) -> float:
        """Returns the user and system time of the local AWS so far, in seconds."""
        fields = Path(f"/proc/{self.aws_process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def dynamodb(self) -> Any:
        return aws.client("dynamodb", self.aws_url)

    def register(self, count: int, *, hanging: int = 0, age_s: float = 30) -> None:
        """Fills the registry with `count` healthy providers and nothing else.

        Their last heartbeat was `age_s` seconds ago. `hanging` of them never respond. One in 20 is due for a stream
        heartbeat.
        """
        dynamodb = aws.resource("dynamodb", self.aws_url)
        for name, logical_id in TABLES.items():
            if name in self.dynamodb.list_tables()["TableNames"]:
                dynamodb.Table(name).delete()
            dynamodb.create_table(TableName=name, **table(logical_id))
        cipher = KeyCipher(aws.client("kms", self.aws_url), self.key_arn)
        with dynamodb.Table("providers").batch_writer() as batch:
            for number in range(count):
                path = "hang/v1" if number < hanging else "v1"
                item = _item(number, f"{self.provider_url}/{path}", cipher, age_s)
                batch.put_item(Item=item)

    def tick(self, times: int = 1) -> list[dict[str, Any]]:
        """Runs ticks one after the other in one process, without the pause between them. Returns the figures of each.

        They are due 30 s apart, the last one now, so that each of them rolls up a sixtieth of the providers.
        """
        now = datetime.now(UTC)
        ticks = [format_timestamp(now - TICK_INTERVAL * number) for number in reversed(range(times))]
        result = self.folder / "figures.json"
        command = [sys.executable, "-m", "tools.bench.tick_worker", str(result), *ticks]
        with (self.folder / "log").open("wb") as log:
            subprocess.run(command, cwd=ROOT, env=self._environment(), stdout=log, timeout=120, check=True)
        figures: list[dict[str, Any]] = json.loads(result.read_text())
        return figures

    def count_history(self) -> int:
        """Returns the number of heartbeats in the history."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName="heartbeats", Select="COUNT")
        return sum(page["Count"] for page in pages)

    def count_recently_healthy(self, seconds: float) -> int:
        """Returns the number of healthy providers whose last heartbeat is less than `seconds` old."""
        oldest = format_timestamp(datetime.now(UTC) - timedelta(seconds=seconds))
        pages = self.dynamodb.get_paginator("scan").paginate(TableName="providers")
        healthy = [item for page in pages for item in page["Items"] if item["status"]["S"] == "healthy"]
        return sum(item["last_heartbeat_at"]["S"] > oldest for item in healthy)

    def _environment(self) -> dict[str, str]:
        variables = {
            "HEARTBEATS_TABLE": "heartbeats",
            "HISTORY_DAYS": "7",
            "KEYS_KEY": self.key_arn,
            "LOG_LEVEL": "INFO",
            "METRICS_NAMESPACE": "TokenHubGateway",
            "PLATFORM": "local",
            "PRIVATE_NETWORKS": "refuse",
            "PROVIDERS_TABLE": "providers",
            "PYTHONPATH": PATHS,
            "ROLL_UPS_TABLE": "roll-ups",
        }
        return aws.environment(self.aws_url, os.environ) | variables


@contextmanager
def running(response_delay_s: float = RESPONSE_DELAY_S) -> Iterator[Bench]:
    """Runs the local AWS and a provider that responds after `response_delay_s`."""
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="bench-tick-")))
        url, process = parts.enter_context(_local_aws(folder))
        port = parts.enter_context(_provider(response_delay_s))
        key = aws.client("kms", url).create_key()["KeyMetadata"]["Arn"]
        yield Bench(url, f"http://127.0.0.1:{port}", key, folder, process)


@contextmanager
def _local_aws(folder: Path) -> Iterator[tuple[str, int]]:
    [port] = free_ports(1)
    variables = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent",
        "PATH": os.environ["PATH"],
    }
    # The results of the snapshots go to its standard output, the log.
    command = [str(EMULATOR / "bin/python"), "-m", "tools.local.emulator", str(folder / "state"), "1"]
    with ExitStack() as parts:
        log = parts.enter_context((folder / "aws.log").open("wb"))
        started = subprocess.Popen(command, cwd=ROOT, env=variables, stdin=subprocess.PIPE, stdout=log, stderr=log)
        parts.enter_context(_ended(started))
        url = f"http://127.0.0.1:{port}"
        _wait_for(url)
        yield url, started.pid


@contextmanager
def _provider(response_delay_s: float) -> Iterator[int]:
    command = [sys.executable, "-m", "tools.bench.slow_provider", str(response_delay_s)]
    with _ended(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)) as process:
        yield int(process.stdout.readline() if process.stdout else 0)


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    with process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for(url: str, tries: int = 300) -> None:
    for _ in range(tries):
        try:
            aws.client("dynamodb", url).list_tables()
        except (BotoCoreError, ClientError):
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the local AWS does not respond")


def _item(number: int, endpoint: str, cipher: KeyCipher, age_s: float) -> dict[str, Any]:
    now = datetime.now(UTC) - timedelta(seconds=age_s)
    id_ = f"provider-{number:04}"
    created = now - PROVIDER_AGE
    plain = Provider(id_, id_, "openai", endpoint, "", f"version-{number}", f"revision-{number}", created, created)
    ciphertext = cipher.encrypt(f"tokenhub_{number:064}", provider_id=id_, origin=plain.origin)
    health = Health("healthy", now, 200, last_heartbeat_model="bench", beats_since_stream=number % 20)
    item = registry_item(plain) | health_item(health) | {"key_ciphertext": ciphertext}
    return {name: value for name, value in item.items() if value is not None}


def measure() -> None:
    """Prints the figures of a first tick, which decrypts the keys, and of the next one."""
    with running() as bench:
        for count in COUNTS:
            bench.register(count)
            before = bench.aws_cpu_s()
            for name, figures in zip(("first", "next"), bench.tick(2), strict=True):
                calls = ", ".join(f"{call} {number}" for call, number in sorted(figures["calls"].items()))
                print(
                    f"{count:5} providers, {name} tick: {figures['seconds']:5.2f} s, CPU {figures['cpu_s']:5.2f} s, "
                    f"peak {figures['peak_mb']:4.0f} MB; {calls}",
                    flush=True,
                )
            print(f"      the local AWS used {bench.aws_cpu_s() - before:.2f} s of CPU time for both", flush=True)


if __name__ == "__main__":
    measure()
