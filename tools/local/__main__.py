"""`python -m tools.local`: runs the whole system on this machine. `--only aws`: just the local AWS and the stack."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time

from tools.local import system
from tools.local.settings import LocalError, Settings

LOOK_EVERY_S = 0.5
HELLO = """\
curl -X POST http://localhost:{port}/api/v1/providers -H "Content-Type: application/json" -d '{{"id": "tokenhub", \
"name": "TokenHub", "type": "openai", "endpoint": "http://localhost:{tokenhub_port}/v1", "model": \
"anthropic/claude-sonnet-4-20250514", "api_key": "your-tokenhub-api-key"}}'
curl http://localhost:{port}/api/v1/providers | jq '.[] | {{id, status, last_heartbeat_error}}'
curl -N http://localhost:{port}/v1/chat/completions -H "Content-Type: application/json" -d '{{"stream": true, \
"messages": [{{"role": "user", "content": "Hello"}}]}}'"""


def main() -> None:
    """Exit code 0 after a stop, 1 with one sentence after trouble."""
    parser = argparse.ArgumentParser(prog="python -m tools.local", description=__doc__)
    parser.add_argument("--only", choices=["aws"], help="the local AWS with the stack on it, without the front")
    only_aws = parser.parse_args().only == "aws"
    os.umask(0o077)  # the state has keys in it
    try:
        asyncio.run(_until_stopped(Settings.from_environ(os.environ), only_aws=only_aws))
    except LocalError as error:
        sys.exit(f"\n{error}")


async def _until_stopped(settings: Settings, *, only_aws: bool) -> None:
    begun = time.monotonic()

    def ready(tick_within_s: int) -> None:
        where = settings.aws_url if only_aws else settings.url
        _say(f"Ready after {time.monotonic() - begun:.1f} s: {where} (Ctrl-C stops it; logs are in {settings.logs})")
        _say(f"The first scheduled heartbeat is due within {tick_within_s} s.")
        if not only_aws:
            _say("Try:\n" + HELLO.format(port=settings.port, tokenhub_port=settings.tokenhub_port))

    stop = _stop_signal(settings.stop_with)
    work = asyncio.create_task(system.run(settings, only_aws=only_aws, say=_say, ready=ready))
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    if stop.done():
        _say("Stopping …")
        work.cancel()
    try:
        await work
    except asyncio.CancelledError:
        _say("Stopped.")


def _stop_signal(with_process: int | None) -> asyncio.Task[None]:
    """Done at the first Ctrl-C, TERM or HUP, or when that process or the terminal is gone.

    A second signal ends us at once. The terminal is looked at because make keeps a HUP to itself, and waits for us.
    """
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            os._exit(130)  # the children see it by their lifelines
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)

    async def wait() -> None:
        terminal = os.isatty(0)
        while os.isatty(0) == terminal and (with_process is None or _runs(with_process)):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), LOOK_EVERY_S)
                return

    return asyncio.create_task(wait())


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be closed: that must not keep us from stopping
        print(text, flush=True)


if __name__ == "__main__":
    main()
