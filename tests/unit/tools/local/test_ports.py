import socket

import pytest

from tools.local import ports
from tools.local.settings import UserError


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_binds_every_loopback_address() -> None:
    port = free_port()

    sockets = ports.bind(port, "PORT")

    try:
        addresses = {server.getsockname()[0] for server in sockets}
        assert "127.0.0.1" in addresses
        assert addresses <= {"127.0.0.1", "::1"}
        assert all(server.getsockname()[1] == port for server in sockets)
    finally:
        for server in sockets:
            server.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_port_in_use_names_another_port(address: str) -> None:
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]

        with pytest.raises(UserError) as caught:
            ports.check_free(port, "AWS_PORT")

    assert str(caught.value) == (
        f"AWS_PORT {port} is in use by another program. Stop it, or choose another port: make dev AWS_PORT={port + 1}"
    )


def test_detects_a_port_in_use_on_ipv6_only() -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with server:
        port = server.getsockname()[1]

        assert ports.listening(port)
        with pytest.raises(UserError):
            ports.check_free(port, "PORT")


def test_checked_port_is_free_again() -> None:
    port = free_port()

    ports.check_free(port, "PORT")
    ports.check_free(port, "PORT")

    assert not ports.listening(port)


def test_bound_port_without_a_listener_is_in_use_but_not_listening() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]

        assert not ports.listening(port)
        with pytest.raises(UserError):
            ports.check_free(port, "PORT")
