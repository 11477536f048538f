"""`python -m tools.rehearsal.outage MODE`: plays one outage against the running system and shows what the client sees.

The mode is asked for by the model's name, so that heartbeats and other requests go on as they are.
"""

import argparse
import http.client
import json
import os
import sys
import time
from collections.abc import Iterator

from tools.local import aws
from tools.local.settings import LocalError, Settings
from tools.rehearsal.modes import MODES, unknown_mode

LOG_WITHIN_S = 15
SHOWN = ("content-type", "retry-after", "server-timing", "x-error-source", "x-model-substituted", "x-should-retry")


def main() -> None:
    """Exit code 1 with one sentence when there is nothing to play against."""
    parser = argparse.ArgumentParser(prog="python -m tools.rehearsal.outage", description=__doc__)
    parser.add_argument("mode", help=", ".join(MODES))
    parser.add_argument("--whole", action="store_true", help="ask for an answer that is no stream")
    asked = parser.parse_args()
    if asked.mode not in MODES:
        sys.exit(unknown_mode(asked.mode))
    settings = Settings.from_environ(os.environ)
    try:
        request_id = _play(settings, asked.mode, stream=not asked.whole)
        print(f"\nThe gateway's log line:\n{_log_line(settings, request_id)}")
    except (LocalError, ConnectionError) as error:
        sys.exit(f"{error}\nIs the local system running on {settings.url}? Start it with make dev.")


def _play(settings: Settings, mode: str, *, stream: bool) -> str:
    """Prints what a client sees. Gives the id of the request."""
    message = {"role": "user", "content": "one two three four five"}
    body = json.dumps({"model": f"rehearse/{mode}", "stream": stream, "messages": [message]})
    connection = http.client.HTTPConnection("localhost", settings.port, timeout=310)
    began = time.monotonic()
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    print(f"The client's view:\n{answer.status} {answer.reason}, after {time.monotonic() - began:.2f} s")
    for name in SHOWN:
        if (value := answer.headers.get(name)) is not None:
            print(f"{name}: {value}")
    for line in _lines(answer):
        print(f"{time.monotonic() - began:6.2f} s  {line}", flush=True)
    return answer.headers["x-amzn-requestid"]


def _lines(answer: http.client.HTTPResponse) -> Iterator[str]:
    try:
        for line in iter(answer.readline, b""):
            if line.strip():
                yield line.decode(errors="replace").rstrip()[:200]
    except (http.client.IncompleteRead, ConnectionError):
        yield "(the connection broke off)"


def _log_line(settings: Settings, request_id: str) -> str:
    logs = aws.client("logs", settings.aws_url)
    end = time.monotonic() + LOG_WITHIN_S
    while time.monotonic() < end:
        groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
        for group in groups:
            for event in logs.filter_log_events(logGroupName=group)["events"]:
                if request_id in event["message"] and '"message":"request"' in event["message"]:
                    return str(event["message"]).strip()
        time.sleep(0.5)
    return f"none within {LOG_WITHIN_S} s"


if __name__ == "__main__":
    main()
