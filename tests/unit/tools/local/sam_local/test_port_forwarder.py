"""The port forwarder with real sockets: data, ends and resets pass through it."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Interface

import pytest

from tools.local.sam_local.port_forwarder import forward

type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

# The bridge's network is 127.0.0.0 to 127.0.0.3.
BRIDGE = "127.0.0.2"
INTERFACE = IPv4Interface(f"{BRIDGE}/30")
OUTSIDE_PEER = "127.0.0.9"


async def run_forwarded(serve: Serve, client: Callable[[int], Awaitable[None]]) -> None:
    """Runs `client` with the port of a forwarder to a server."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, forward(INTERFACE, 0, server.sockets[0].getsockname()[1]) as port:
        await client(port)


async def respond_upper_case(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.read()).upper())
    writer.close()


def test_forwards_bytes_and_the_end_in_both_directions() -> None:
    sent = b"x" * 1_000_000 + b"end"

    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection(BRIDGE, port)
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == sent.upper()
        writer.close()

    asyncio.run(asyncio.wait_for(run_forwarded(respond_upper_case, client), 30))


def test_forwards_a_reset_and_continues_to_serve() -> None:
    received = asyncio.Event()

    async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half")
        await writer.drain()
        await received.wait()
        received.clear()
        writer.transport.abort()

    async def client(port: int) -> None:
        for _ in range(2):
            reader, writer = await asyncio.open_connection(BRIDGE, port)
            assert await reader.readexactly(4) == b"half"
            received.set()
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    asyncio.run(asyncio.wait_for(run_forwarded(reset, client), 30))


def test_rejects_peers_of_other_networks() -> None:
    reached = []

    async def record(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(writer)
        writer.close()

    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection(BRIDGE, port, local_addr=(OUTSIDE_PEER, 0))
        assert await reader.read() == b""
        writer.close()

    asyncio.run(asyncio.wait_for(run_forwarded(record, client), 30))
    assert reached == []


def test_closes_the_connection_without_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        unused = free.getsockname()[1]

    async def client() -> None:
        async with forward(INTERFACE, 0, unused) as port:
            reader, writer = await asyncio.open_connection(BRIDGE, port)
            assert await reader.read() == b""
            writer.close()

    asyncio.run(asyncio.wait_for(client(), 30))


def test_listens_on_its_address_only_during_the_block() -> None:
    async def client(port: int) -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        ports.append(port)

    ports: list[int] = []
    asyncio.run(asyncio.wait_for(run_forwarded(respond_upper_case, client), 30))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((BRIDGE, ports[0]))
