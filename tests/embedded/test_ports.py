import socket

from tailrace.embedded.ports import LOOPBACK, free_port, is_free


def test_free_port_can_be_listened_on() -> None:
    port = free_port()

    with socket.create_server((LOOPBACK, port)) as server:
        assert server.getsockname()[1] == port


def test_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_port_is_below_the_range_of_outgoing_connections() -> None:
    assert free_port() < 32_768
