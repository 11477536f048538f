"""`python -m tools.ops.trace ID [ENV] [--since 24h]`: prints what the logs have about one request.

The id is the gateway's (`X-Request-Id`), the caller's own `X-Request-ID`, or the `id` of the answer. Exits with 1 when
no line has it, and with 2 when the logs cannot be read.
"""

import argparse
import os
import re
import sys
import time
from datetime import timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.local import aws
from tools.local.settings import REPOSITORY, STACK, Settings, UserError
from tools.ops.environments import Environment
from tools.ops.log_search import LogSearch
from tools.ops.trace_report import format_trace

NOT_FOUND, UNKNOWN = 1, 2
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
SINCE = re.compile(r"([1-9]\d{0,3})([mhd])", re.ASCII)
# FilterLogEvents quotes the id, and the log lines have other characters as escapes.
ID = re.compile(r"[!#-\[\]-~]{1,128}")
NOT_FOUND_REASONS = """\
Possible reasons:
- The request is older. Set SINCE=7d, for example. The log groups keep lines for LogRetentionDays.
- The request has just ended. CloudWatch may need a minute.
- The id has the shape of a key, so the log line has [redacted] in its place.
- LogLevel is WARNING or above, so requests write no line.
- API Gateway rejected the request, for example because of its token. {access_logs}"""


def parse_since(text: str) -> timedelta:
    """Returns a duration such as 30m, 24h or 7d. Raises UserError."""
    match = SINCE.fullmatch(text)
    if match is None:
        raise UserError(f"SINCE must be a number of minutes, hours or days such as 30m, 24h or 7d, not {text!r}.")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def check_id(value: str) -> str:
    """Returns the id. Raises UserError for one that no log line can have."""
    if ID.fullmatch(value) is None:
        raise UserError(
            "ID must have 1 to 128 ASCII characters without spaces, quotation marks and backslashes: "
            "make trace ID=X-REQUEST-ID"
        )
    return value


def find_clients(environment: str) -> tuple[Any, Any, str]:
    """Returns the boto3 clients of CloudFormation and CloudWatch Logs and the stack's name. Raises UserError."""
    if environment == "local":
        url = Settings.from_environ(os.environ).aws_url
        return aws.client("cloudformation", url), aws.client("logs", url), STACK
    settings = Environment.read(REPOSITORY / "samconfig.toml", environment)
    stack = settings.require_stack()
    session = settings.session()
    return session.client("cloudformation"), session.client("logs"), stack


def trace(value: str, search: LogSearch, since: str) -> tuple[str, bool]:
    """Returns the report and whether a line has the id. Raises botocore's errors."""
    lines = search.find(value)
    off = "Access logs are off. The parameter AccessLogs turns them on."
    access_logs = "The access logs have no line either." if search.has_access_logs else off
    if lines:
        report = format_trace(lines)
        report += "" if search.has_access_logs else f"\n\n{off}"
    else:
        reasons = NOT_FOUND_REASONS.format(access_logs=access_logs)
        report = f"No log line of the last {since} has the id {value}.\n{reasons}"
    if search.incomplete:
        report += "\n\nThe search took too long and is incomplete. Set a shorter SINCE."
    return report, bool(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.ops.trace", description=__doc__)
    parser.add_argument("id", metavar="ID")
    parser.add_argument("environment", nargs="?", default="local", metavar="ENV")
    parser.add_argument("--since", default="24h", help="30m, 24h, 7d: how far back to search")
    options = parser.parse_args()
    try:
        value, since = check_id(options.id), parse_since(options.since)
        start_ms = int((time.time() - since.total_seconds()) * 1000)
        search = LogSearch(*find_clients(options.environment), start_ms)
        report, is_found = trace(value, search, options.since)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(UNKNOWN)
    except (BotoCoreError, ClientError) as error:
        hint = " Start the local system with `make dev`, or set AWS_PORT." if options.environment == "local" else ""
        print(f"The logs cannot be read: {error}.{hint}", file=sys.stderr)
        sys.exit(UNKNOWN)
    print(report)
    sys.exit(0 if is_found else NOT_FOUND)


if __name__ == "__main__":
    main()
