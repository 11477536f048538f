"""`python -m tools.local`: runs the local system. `--only aws` runs the local AWS and the stack alone."""

import signal

if __name__ == "__main__":
    # Python loses a KeyboardInterrupt that arrives in a weakref callback of the import system. Until asyncio handles
    # the signal, Ctrl-C therefore ends the process at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import asyncio
import contextlib
import os
import sys
import time

from tools.local import parent_watch, system
from tools.local.settings import Settings, UserError

PARENT_CHECK_INTERVAL_S = 0.5
EXAMPLES = """\
curl -X POST http://localhost:{port}/api/v1/providers -H "Content-Type: application/json" -d '{{"id": "tokenhub", \
"name": "TokenHub", "type": "openai", "endpoint": "http://localhost:{tokenhub_port}/v1", "model": \
"anthropic/claude-sonnet-4-20250514", "api_key": "your-tokenhub-api-key"}}'
curl -s http://localhost:{port}/api/v1/providers | jq '.[] | {{id, status, last_heartbeat_error}}'
curl -N http://localhost:{port}/v1/chat/completions -H "Content-Type: application/json" -d '{{"stream": true, \
"messages": [{{"role": "user", "content": "Hello"}}]}}'"""


def main() -> None:
    """Exits with code 0 after a stop, and with code 1 and one sentence after an error."""
    parser = argparse.ArgumentParser(prog="python -m tools.local", description=__doc__)
    parser.add_argument("--only", choices=["aws"], help="run the local AWS and the stack without the API server")
    only_aws = parser.parse_args().only == "aws"
    # The state folder has keys and tokens in it.
    os.umask(0o077)
    try:
        asyncio.run(_run_until_stopped(Settings.from_environ(os.environ), only_aws=only_aws))
    except UserError as error:
        sys.exit(f"\n{error}")


async def _run_until_stopped(settings: Settings, *, only_aws: bool) -> None:
    started = time.monotonic()

    def announce_ready(first_tick_within_s: int) -> None:
        url = settings.aws_url if only_aws else settings.url
        _print(f"Ready after {time.monotonic() - started:.1f} s: {url} (Ctrl-C stops it. Logs: {settings.logs})")
        _print(f"The first scheduled heartbeat runs within {first_tick_within_s} s.")
        if not only_aws:
            _print("Try:\n" + EXAMPLES.format(port=settings.port, tokenhub_port=settings.tokenhub_port))

    stop = _wait_for_stop(settings.stop_with_pid)
    work = asyncio.create_task(system.run(settings, only_aws=only_aws, report=_print, ready=announce_ready))
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    if stop.done():
        _print("Stopping …")
        work.cancel()
    try:
        await work
    except asyncio.CancelledError:
        _print("Stopped.")


def _wait_for_stop(parent_pid: int | None) -> asyncio.Task[None]:
    """Returns a task that ends at the first SIGINT, SIGTERM or SIGHUP, or when the parent or the terminal is gone.

    A second signal exits at once. The terminal is polled because make waits for this process and does not pass on
    SIGHUP.
    """
    stopped = asyncio.Event()
    is_gone = parent_watch.starter_watch(parent_pid)

    def stop() -> None:
        if stopped.is_set():
            # The children notice by themselves, see parent_watch.py.
            os._exit(130)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)

    async def wait() -> None:
        had_terminal = os.isatty(0)
        while os.isatty(0) == had_terminal and not is_gone():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), PARENT_CHECK_INTERVAL_S)
                return

    return asyncio.create_task(wait())


def _print(text: str) -> None:
    # A closed terminal must not prevent a clean stop.
    with contextlib.suppress(OSError):
        print(text, flush=True)


if __name__ == "__main__":
    main()
