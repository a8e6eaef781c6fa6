"""Free TCP ports on loopback."""

import random
import socket

from tailrace.core.errors import Unavailable

LOOPBACK = "127.0.0.1"
# Below every system's ephemeral range: in it, a client that retries a dead server may connect to itself, and
# another's outgoing connection may take the port while the server is away.
_PORTS = range(15_000, 32_000)
_ATTEMPTS = 200


def free_port() -> int:
    """A port that nobody listens on now; another process may still come first.

    :raises Unavailable: 200 ports in a row were taken.
    """
    for _ in range(_ATTEMPTS):
        port = random.choice(_PORTS)  # noqa: S311  # spreads neighbours, hides nothing
        if is_free(port):
            return port
    raise Unavailable(f"no free port on {LOOPBACK} in {_PORTS.start}-{_PORTS.stop}", code="NO_FREE_PORT")


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        # As the servers do: connections of a stopped server that linger in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
