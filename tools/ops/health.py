"""`python -m tools.ops.health [ENV] [--watch]`: prints the health of every provider as a table.

Exits with 0 when no provider is failed or stale, with 1 when one is, and with 2 when the gateway cannot be asked.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import IO

from tools.local import parent_watch
from tools.local.settings import UserError
from tools.ops.gateway import Gateway, find_gateway
from tools.ops.health_table import format_table, needs_attention

HEALTHY, ATTENTION, UNKNOWN = 0, 1, 2
WATCH_INTERVAL_S = 10
CLEAR_SCREEN = "\x1b[H\x1b[2J"


def check(gateway: Gateway, output: IO[str], environ: Mapping[str, str]) -> int:
    """Prints the table once and returns the exit code. Raises UserError when the gateway cannot be asked."""
    providers = gateway.providers()
    is_terminal = output.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else None
    colour = is_terminal and not environ.get("NO_COLOR")
    print(format_table(providers, datetime.now(UTC), width=width, colour=colour), file=output, flush=True)
    return ATTENTION if needs_attention(providers) else HEALTHY


def watch(
    gateway: Gateway, output: IO[str], environ: Mapping[str, str], sleep: Callable[[float], None] = time.sleep
) -> int:
    """Prints the table every ten seconds until Ctrl-C. Then returns the exit code of the last table."""
    code = HEALTHY
    try:
        while True:
            print(f"{CLEAR_SCREEN if output.isatty() else ''}{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", file=output)
            try:
                code = check(gateway, output, environ)
            except UserError as error:
                # A gateway that is unreachable for a while does not end the watch.
                code = UNKNOWN
                print(error, file=output, flush=True)
            sleep(WATCH_INTERVAL_S)
    except KeyboardInterrupt:
        return code


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.ops.health", description=__doc__)
    parser.add_argument("environment", nargs="?", default="local", metavar="ENV")
    parser.add_argument("--watch", action="store_true", help="repeat every ten seconds")
    options = parser.parse_args()
    # `make health` sets this variable to its own process id.
    parent_watch.end_with_starter(int(os.environ["STOP_WITH"]) if os.environ.get("STOP_WITH") else None)
    try:
        gateway = find_gateway(options.environment)
        sys.exit((watch if options.watch else check)(gateway, sys.stdout, os.environ))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(UNKNOWN)


if __name__ == "__main__":
    main()
