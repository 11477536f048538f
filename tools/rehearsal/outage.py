"""`python -m tools.rehearsal.outage MODE`: runs one outage against the local system and prints what the client sees.

The model name selects the mode, so heartbeats and other requests are not affected.
"""

import argparse
import http.client
import json
import os
import sys
import time
from collections.abc import Iterator

from tools.local import aws
from tools.local.settings import Settings, UserError
from tools.rehearsal.modes import MODES, unknown_mode_message

LOG_TIMEOUT_S = 15
SHOWN_HEADERS = (
    "content-type",
    "retry-after",
    "server-timing",
    "x-error-source",
    "x-model-substituted",
    "x-should-retry",
)


def main() -> None:
    """Exits with code 1 and one sentence when the mode is unknown or the local system is unreachable."""
    parser = argparse.ArgumentParser(prog="python -m tools.rehearsal.outage", description=__doc__)
    parser.add_argument("mode", help=", ".join(MODES))
    parser.add_argument("--whole", action="store_true", help="request a response that is not a stream")
    options = parser.parse_args()
    if options.mode not in MODES:
        sys.exit(unknown_mode_message(options.mode))
    settings = Settings.from_environ(os.environ)
    try:
        request_id = _run_outage(settings, options.mode, stream=not options.whole)
        print(f"\nThe gateway's log line:\n{_log_line(settings, request_id)}")
    except (UserError, ConnectionError) as error:
        sys.exit(f"{error}\nThe local system does not respond at {settings.url}. Start it with `make dev`.")


def _run_outage(settings: Settings, mode: str, *, stream: bool) -> str:
    """Sends the request and prints what a client sees. Returns the request's id."""
    message = {"role": "user", "content": "one two three four five"}
    body = json.dumps({"model": f"rehearse/{mode}", "stream": stream, "messages": [message]})
    connection = http.client.HTTPConnection("localhost", settings.port, timeout=310)
    started = time.monotonic()
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    print(f"The client's view:\n{response.status} {response.reason}, after {time.monotonic() - started:.2f} s")
    for name in SHOWN_HEADERS:
        if (value := response.headers.get(name)) is not None:
            print(f"{name}: {value}")
    for line in _lines(response):
        print(f"{time.monotonic() - started:6.2f} s  {line}", flush=True)
    return response.headers["x-amzn-requestid"]


def _lines(response: http.client.HTTPResponse) -> Iterator[str]:
    try:
        for line in iter(response.readline, b""):
            if line.strip():
                yield line.decode(errors="replace").rstrip()[:200]
    except (http.client.IncompleteRead, ConnectionError):
        yield "(the connection was cut)"


def _log_line(settings: Settings, request_id: str) -> str:
    logs = aws.client("logs", settings.aws_url)
    deadline = time.monotonic() + LOG_TIMEOUT_S
    while time.monotonic() < deadline:
        groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
        for group in groups:
            for event in logs.filter_log_events(logGroupName=group)["events"]:
                if request_id in event["message"] and '"message":"request"' in event["message"]:
                    return str(event["message"]).strip()
        time.sleep(0.5)
    return f"No log line within {LOG_TIMEOUT_S} s."


if __name__ == "__main__":
    main()
