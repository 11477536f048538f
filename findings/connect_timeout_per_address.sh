#!/usr/bin/env bash
# One connect timeout, two clients of one library: httpx waits three times as long in its synchronous client.
#
# Versions: httpx 0.28.1 with httpcore 1.0.9 and anyio 4.16.0; httpx2 2.16.2 with httpcore2 2.16.2 (openai 3.57.0 and
#           anthropic 2.14.0 use httpx2).
# Expected: `Timeout(connect=1)` bounds the time until a connection exists, in `Client` and in `AsyncClient`.
# Seen:     for a host with three silent addresses, `AsyncClient` gives up after 1 s and `Client` after 3 s. The
#           synchronous client applies the timeout to each address in turn, the asynchronous one races the addresses
#           within a single timeout. The error is a ConnectTimeout in both cases and does not show the difference.
# Matters:  A name in front of a load balancer often has several addresses, and more with IPv6. A gateway that sums up
#           its timeouts to stay below a platform's limit is wrong by a factor that DNS decides.
# Source:   httpx page "Timeouts": connect limits the wait for a connection to the requested host, not to an address.
#           Code: httpcore `SyncBackend.connect_tcp` calls `socket.create_connection`, which applies its timeout to
#           each address; anyio `connect_tcp` implements RFC 6555.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.13 -m venv venv
venv/bin/pip install -q httpx==0.28.1 httpcore==1.0.9 anyio==4.16.0 httpx2==2.16.2 httpcore2==2.16.2

cat > finding.py <<'PYTHON'
import asyncio
import socket
import sys
import time
from contextlib import ExitStack

import httpx
import httpx2

ADDRESSES = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
HOST = "silent.example"
real_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host, port, *args, **kwargs):
    """Resolve one made-up host to all addresses, without DNS."""
    if host not in (HOST, HOST.encode()):
        return real_getaddrinfo(host, port, *args, **kwargs)
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (item, int(port))) for item in ADDRESSES]


def open_silent_port(stack):
    """Return a port whose listen queue is full at every address: Linux drops further connection attempts."""
    port = 0
    for address in ADDRESSES:
        server = stack.enter_context(socket.create_server((address, port), backlog=0))
        port = server.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
    return port


def seconds_of_client(library, url, timeout):
    start = time.monotonic()
    try:
        with library.Client(timeout=timeout, trust_env=False) as client:
            client.get(url)
    except library.ConnectTimeout:
        return time.monotonic() - start
    return 0.0


async def seconds_of_async_client(library, url, timeout):
    start = time.monotonic()
    try:
        async with library.AsyncClient(timeout=timeout, trust_env=False) as client:
            await client.get(url)
    except library.ConnectTimeout:
        return time.monotonic() - start
    return 0.0


unchanged = True
with ExitStack() as stack:
    url = f"http://{HOST}:{open_silent_port(stack)}/"
    socket.getaddrinfo = getaddrinfo
    for library in (httpx, httpx2):
        timeout = library.Timeout(10, connect=1)
        synchronous = seconds_of_client(library, url, timeout)
        asynchronous = asyncio.run(seconds_of_async_client(library, url, timeout))
        print(f"{library.__name__} {library.__version__}, connect timeout of 1 s, {len(ADDRESSES)} silent addresses")
        print("  expected: ConnectTimeout after 1 s in Client and AsyncClient")
        print(f"  seen:     ConnectTimeout after {synchronous:.1f} s in Client, {asynchronous:.1f} s in AsyncClient")
        unchanged = unchanged and synchronous >= 2.9 and 0.9 <= asynchronous < 2
print("The finding holds." if unchanged else "The behaviour changed.")
sys.exit(0 if unchanged else 1)
PYTHON
timeout 60 venv/bin/python finding.py
