"""Forgets what ministack would keep for ever: snapshots grow with it. Runs in the emulator's own environment."""

from datetime import UTC, datetime, timedelta

EXECUTIONS_KEPT = timedelta(hours=1)  # on AWS, Express executions are not even listed
LOGS_KEPT = timedelta(days=1)


def forget_old(now: datetime) -> None:
    """Drop ended executions and log streams that nobody will ask for. Copies are walked: other threads add to them."""
    # ministack is pinned, and its API can delete neither an execution nor many streams at once.
    from ministack.services import cloudwatch_logs, stepfunctions

    ended_before = (now - EXECUTIONS_KEPT).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    executions = stepfunctions._executions._data  # noqa: SLF001
    for key, execution in list(executions.items()):
        if (execution["stopDate"] or ended_before) < ended_before:
            executions.pop(key, None)

    written_before = (now - LOGS_KEPT).timestamp() * 1000
    for group in list(cloudwatch_logs._log_groups._data.values()):  # noqa: SLF001
        for name, stream in list(group["streams"].items()):
            if (stream["lastEventTimestamp"] or written_before) < written_before:
                group["streams"].pop(name, None)
    records = cloudwatch_logs._log_records._data  # noqa: SLF001
    for key, record in list(records.items()):
        if record["_timestamp_ms"] < written_before:
            records.pop(key, None)
