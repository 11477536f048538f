"""A port of this machine's loopback, passed on to containers byte for byte."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Interface

from tools.local.sam_local import bridge

_PIECE = 64 * 1024


@asynccontextmanager
async def relaying(door: IPv4Interface, port: int, to_port: int) -> AsyncIterator[int]:
    """Listens on that address, for its own network only, as long as the block runs, and gives the port.

    Raises OSError if it is taken.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            peer = writer.get_extra_info("peername")  # None: it has left already
            if peer is None or not bridge.knows(door, peer[0]):
                return
            # "localhost", because a TokenHub may listen on one of its two addresses only
            up_reader, up_writer = await asyncio.open_connection("localhost", to_port)
            with contextlib.closing(up_writer):
                async with asyncio.TaskGroup() as both:
                    both.create_task(_pass_on(reader, up_writer))
                    both.create_task(_pass_on(up_reader, writer))

    server = await asyncio.start_server(serve, str(door.ip), port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        server.close_clients()
        await server.wait_closed()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All of one direction. A cut is passed on as one: whoever waits at the other end must not wait for ever."""
    try:
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
