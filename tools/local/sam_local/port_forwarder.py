"""Forwards a port of this machine's loopback to containers, byte for byte."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Interface

from tools.local.sam_local import docker_bridge

_READ_BYTES = 64 * 1024


@asynccontextmanager
async def forward(interface: IPv4Interface, port: int, to_port: int) -> AsyncIterator[int]:
    """Forwards connections for the duration of the block, and yields the port it listens on.

    Accepts only peers of the interface's own network. Raises OSError if the port is in use.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            # The peer name is None if the peer has already disconnected.
            peer = writer.get_extra_info("peername")
            if peer is None or not docker_bridge.is_in_network(interface, peer[0]):
                return
            # A TokenHub may listen on only one of the two addresses of "localhost".
            target_reader, target_writer = await asyncio.open_connection("localhost", to_port)
            with contextlib.closing(target_writer):
                async with asyncio.TaskGroup() as directions:
                    directions.create_task(_copy(reader, target_writer))
                    directions.create_task(_copy(target_reader, writer))

    server = await asyncio.start_server(serve, str(interface.ip), port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        server.close_clients()
        await server.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies one direction to its end. Resets the other connection after an error, so that its peer does not wait."""
    try:
        while data := await reader.read(_READ_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
