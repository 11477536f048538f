"""What `sam local` needs of a running local system: its physical names in a file, and doors for the containers."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from ipaddress import IPv4Interface
from pathlib import Path

from tools.local.deployed import Function
from tools.local.sam_local import bridge, port_relay
from tools.local.sam_local.aws_relay import AwsRelay, CredentialsOf
from tools.local.settings import Settings

# samconfig.toml names this link, not the file: when it is not there, its name is what `sam` tells the user.
LINK = "{} - start Docker, and make dev or make aws"
DESKTOP = "host.docker.internal"  # what Docker Desktop calls the host, whose loopback it can reach
LOOPBACK = IPv4Interface("127.0.0.1/8")


async def serve(
    settings: Settings, functions: tuple[Function, ...], credentials: CredentialsOf, looked: Callable[[], None]
) -> None:
    """Until cancelled. `looked` is called when the file is there, or when there is no Docker to write it for yet."""
    address = bridge.address()
    if address is None and bridge.expected():
        looked()
        address = await bridge.appears()
    async with doors(settings, AwsRelay(settings.aws_url, functions, credentials), address) as url:
        with written(settings.env_file, variables(functions, url)):
            looked()
            await asyncio.Event().wait()


def variables(functions: tuple[Function, ...], aws_url: str) -> dict[str, dict[str, str]]:
    """The functions' environment as it is deployed, with the AWS that their containers can reach."""
    return {
        function.logical_id: {**function.environment, "AWS_ENDPOINT_URL": f"{aws_url}/{function.logical_id}"}
        for function in functions
    }


@asynccontextmanager
async def doors(settings: Settings, aws: AwsRelay, address: IPv4Interface | None) -> AsyncIterator[str]:
    """The relays, on the bridge where there is one. Gives the local AWS's URL for a container."""
    async with AsyncExitStack() as doors:
        if address is None:
            port = await doors.enter_async_context(aws.serving(LOOPBACK, 0))
            yield aws.url(DESKTOP, port)
            return
        with suppress(OSError):  # taken: by a TokenHub that listens on all addresses, so it is there already
            to = settings.tokenhub_port
            await doors.enter_async_context(port_relay.relaying(address, to, to))
        try:
            port = await doors.enter_async_context(aws.serving(address, settings.aws_port))
        except OSError:
            port = await doors.enter_async_context(aws.serving(address, 0))
        yield aws.url(str(address.ip), port)


@contextmanager
def written(file: Path, content: dict[str, dict[str, str]]) -> Iterator[None]:
    """The file and its link, as long as the block runs. It holds the relay's secret: nobody else may read it."""
    link = file.with_name(LINK.format(file.name))
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps(content, indent=2))
    link.unlink(missing_ok=True)
    link.symlink_to(file.name)
    try:
        yield
    finally:
        link.unlink(missing_ok=True)
        file.unlink(missing_ok=True)
