"""Gives `sam local` containers access to the running local system: an environment file and network proxies."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from ipaddress import IPv4Interface
from pathlib import Path

from tools.local.deployment import Function
from tools.local.sam_local import docker_bridge, port_forwarder
from tools.local.sam_local.signing_proxy import CredentialsProvider, SigningProxy
from tools.local.settings import Settings

# samconfig.toml names this link instead of the file. If it is missing, sam prints its name, which is an instruction.
LINK = "{} - start Docker, and make dev or make aws"
# Docker Desktop's name for the host; containers reach its loopback address by this name.
DOCKER_DESKTOP_HOST = "host.docker.internal"
LOOPBACK = IPv4Interface("127.0.0.1/8")


async def serve(
    settings: Settings,
    functions: tuple[Function, ...],
    credentials: CredentialsProvider,
    checked: Callable[[], None],
) -> None:
    """Serves until cancelled. Calls `checked` when the file is written, or at once while Docker is not running."""
    bridge = docker_bridge.address()
    if bridge is None and docker_bridge.is_supported():
        checked()
        bridge = await docker_bridge.wait_for_address()
    async with proxies(settings, SigningProxy(settings.aws_url, functions, credentials), bridge) as url:
        with env_file(settings.env_file, variables(functions, url)):
            checked()
            await asyncio.Event().wait()


def variables(functions: tuple[Function, ...], aws_url: str) -> dict[str, dict[str, str]]:
    """Returns each function's deployed environment with an AWS endpoint that its container can reach."""
    return {
        function.logical_id: {**function.environment, "AWS_ENDPOINT_URL": f"{aws_url}/{function.logical_id}"}
        for function in functions
    }


@asynccontextmanager
async def proxies(settings: Settings, aws: SigningProxy, bridge: IPv4Interface | None) -> AsyncIterator[str]:
    """Runs the proxies on the bridge, or on loopback for Docker Desktop. Yields the local AWS's URL for containers."""
    async with AsyncExitStack() as stack:
        if bridge is None:
            port = await stack.enter_async_context(aws.serving(LOOPBACK, 0))
            yield aws.url(DOCKER_DESKTOP_HOST, port)
            return
        # If the port is in use, a TokenHub listens on all addresses and is reachable without a proxy.
        with suppress(OSError):
            port = settings.tokenhub_port
            await stack.enter_async_context(port_forwarder.forward(bridge, port, port))
        try:
            port = await stack.enter_async_context(aws.serving(bridge, settings.aws_port))
        except OSError:
            port = await stack.enter_async_context(aws.serving(bridge, 0))
        yield aws.url(str(bridge.ip), port)


@contextmanager
def env_file(file: Path, content: dict[str, dict[str, str]]) -> Iterator[None]:
    """Writes the file and its link for the duration of the block.

    Only the owner can read the file, because it has the proxy's secret.
    """
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
