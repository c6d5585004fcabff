"""Free TCP ports of the loopback address."""

import random
import socket
from collections.abc import Container

from orderkeep.errors import Fatal

HOST = "127.0.0.1"
_BELOW_EPHEMERAL = range(20_000, 32_000)
_random = random.SystemRandom()  # a program that seeds `random` must not be given the same ports again


def choose(port: int | None, server: str, *, besides: Container[int] = ()) -> int:
    """`port` when nothing listens there, or a free one when it is None; a taken one is `Fatal`.

    A free port is taken from below the range for outgoing connections (32768 and up on Linux, ip(7)): while
    a server is down for a restart, a client that retries could otherwise be given the server's own port.
    `besides` are those that were chosen before and where nothing listens yet.
    """
    if port is None:
        candidates = _random.sample(_BELOW_EPHEMERAL, 100)
        return next(candidate for candidate in candidates if candidate not in besides and is_free(candidate))
    if not is_free(port):
        raise Fatal(
            f"Port {port}, wanted for {server}, is taken. Stop the program that listens there, "
            "or give another port, or none to have a free one chosen."
        )
    return port


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, past TIME_WAIT
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
        return True


def accepts(port: int) -> bool:
    """Whether something accepts connections on `port` of the loopback address."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
