"""Runs in the emulator's virtual environment, because it changes ministack's own data."""

import json
import subprocess

from tools.local.settings import EMULATOR, REPOSITORY

PROGRAM = """
import json
from datetime import UTC, datetime, timedelta
from ministack.services import cloudwatch_logs, stepfunctions
from tools.local.emulator.retention import delete_expired

now = datetime(2026, 5, 2, 12, 0, tzinfo=UTC)
def iso(ago): return (now - ago).strftime("%Y-%m-%dT%H:%M:%S.000Z")
def ms(ago): return int((now - ago).timestamp() * 1000)

for name, stop in {"running": None, "recent": iso(timedelta(minutes=59)), "old": iso(timedelta(minutes=61))}.items():
    stepfunctions._executions[name] = {"stopDate": stop}
ages = {"empty": None, "recent": ms(timedelta(hours=23)), "old": ms(timedelta(hours=25))}
cloudwatch_logs._log_groups["group"] = {"streams": {name: {"lastEventTimestamp": at} for name, at in ages.items()}}
for name in ("recent", "old"):
    cloudwatch_logs._log_records[name] = {"_timestamp_ms": ages[name]}

delete_expired(now)
print(json.dumps([
    list(stepfunctions._executions), list(cloudwatch_logs._log_groups["group"]["streams"]),
    list(cloudwatch_logs._log_records),
]))
"""


def test_deletes_only_expired_data() -> None:
    python = str(EMULATOR / "bin" / "python")
    result = subprocess.run([python, "-c", PROGRAM], cwd=REPOSITORY, capture_output=True, text=True, check=True)

    executions, streams, records = json.loads(result.stdout.splitlines()[-1])
    assert executions == ["running", "recent"]
    assert streams == ["empty", "recent"]
    assert records == ["recent"]
