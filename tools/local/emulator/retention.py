"""Deletes old data that ministack would keep for ever, so that snapshots stay small.

Runs in the emulator's virtual environment.
"""

from datetime import UTC, datetime, timedelta

# AWS does not list Express executions at all.
EXECUTION_RETENTION = timedelta(hours=1)
LOG_RETENTION = timedelta(days=1)


def delete_expired(now: datetime) -> None:
    """Deletes ended Step Functions executions, log streams and log records that are past their retention."""
    _delete_executions((now - EXECUTION_RETENTION).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    _delete_logs((now - LOG_RETENTION).timestamp() * 1000)


# ministack's API can delete neither an execution nor many streams at once, so its private data is changed directly;
# its version is pinned. The loops walk copies, because other threads add to the originals.


def _delete_executions(ended_before: str) -> None:
    from ministack.services import stepfunctions

    executions = stepfunctions._executions._data  # noqa: SLF001
    for key, execution in list(executions.items()):
        if (execution["stopDate"] or ended_before) < ended_before:
            executions.pop(key, None)


def _delete_logs(written_before_ms: float) -> None:
    from ministack.services import cloudwatch_logs

    for group in list(cloudwatch_logs._log_groups._data.values()):  # noqa: SLF001
        for name, stream in list(group["streams"].items()):
            if (stream["lastEventTimestamp"] or written_before_ms) < written_before_ms:
                group["streams"].pop(name, None)
    records = cloudwatch_logs._log_records._data  # noqa: SLF001
    for key, record in list(records.items()):
        if record["_timestamp_ms"] < written_before_ms:
            records.pop(key, None)
