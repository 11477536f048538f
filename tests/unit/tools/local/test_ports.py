import socket

import pytest

from tools.local import ports
from tools.local.settings import LocalError


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_port_is_held_on_every_loopback_address() -> None:
    port = a_free_port()

    held = ports.hold(port, "PORT")

    try:
        addresses = {found.getsockname()[0] for found in held}
        assert "127.0.0.1" in addresses
        assert addresses <= {"127.0.0.1", "::1"}
        assert all(found.getsockname()[1] == port for found in held)
    finally:
        for found in held:
            found.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_named_with_a_remedy(address: str) -> None:
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]

        with pytest.raises(LocalError) as caught:
            ports.check(port, "AWS_PORT")

    assert str(caught.value) == (
        f"AWS_PORT {port} is taken by another program: stop it, or choose another: make dev AWS_PORT={port + 1}"
    )


def test_a_port_taken_on_ipv6_only_is_taken() -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with server:
        port = server.getsockname()[1]

        assert ports.listening(port)
        with pytest.raises(LocalError):
            ports.check(port, "PORT")


def test_a_checked_port_is_free_again() -> None:
    port = a_free_port()

    ports.check(port, "PORT")
    ports.check(port, "PORT")

    assert not ports.listening(port)


def test_a_bound_port_that_nobody_serves_yet_is_taken_but_not_listening() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]

        assert not ports.listening(port)
        with pytest.raises(LocalError):
            ports.check(port, "PORT")
