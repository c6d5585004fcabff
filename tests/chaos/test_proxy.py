"""The proxy of the fault suite does what each of its modes says."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.service import wait_until

from .proxy import Proxy

MEGABYTE = 1_000_000


class Echo:
    """A server that sends back what it gets, and counts it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1_000)
        self.port = self._listener.getsockname()[1]
        self.received = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65_536):
                self.received += len(data)
                connection.sendall(data)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    made = Proxy(echo.port)
    yield made
    made.close()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with connect(proxy) as connection:
        yield connection


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=20)


def asked(connection: socket.socket, question: bytes) -> bytes:
    connection.sendall(question)
    return received(connection, len(question))


def received(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (piece := connection.recv(count - len(data))):
        data += piece
    return data


def hears_nothing(connection: socket.socket) -> bool:
    connection.settimeout(0.2)
    try:
        return not connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(20)


def test_forwards_whatever_the_size(proxy: Proxy) -> None:
    """Bytes arrive unchanged and in order, while the two sides are as slow as they are."""
    sent = b"".join(number.to_bytes(4) for number in range(MEGABYTE))
    got = bytearray()
    with connect(proxy) as connection:

        def read() -> None:
            while piece := connection.recv(65_536):
                got.extend(piece)

        reader = threading.Thread(target=read)
        reader.start()
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)  # the end is passed on in each direction alone
        reader.join()
    assert bytes(got) == sent
    assert proxy.forwarded == 2 * len(sent)
    wait_until(lambda: proxy.connections == 0, "a connection that ended is forgotten")


def test_many_connections(proxy: Proxy) -> None:
    """A thousand connections at once are each answered with their own."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(proxy)) for _ in range(1_000)]
        for number, connection in enumerate(connections):
            connection.sendall(b"%08d" % number)
        assert all(received(each, 8) == b"%08d" % number for number, each in enumerate(connections))
        assert proxy.connections == 1_000
        proxy.reset()
        for connection in connections:
            with pytest.raises(ConnectionResetError):
                connection.recv(1)


def test_cut(proxy: Proxy, client: socket.socket) -> None:
    """Connections are reset, new ones refused; healed, the same port takes them again."""
    assert asked(client, b"here") == b"here"
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.heal()
    with connect(proxy) as again:
        assert asked(again, b"again") == b"again"


def test_stall(proxy: Proxy, client: socket.socket, echo: Echo) -> None:
    """Nothing passes, on old connections or new ones; healed, all of it does."""
    assert asked(client, b"here") == b"here"
    proxy.stall()
    client.sendall(b"late")
    with connect(proxy) as newcomer:
        newcomer.sendall(b"new")
        assert hears_nothing(client)
        assert hears_nothing(newcomer)
        assert echo.received == len(b"here")
        proxy.heal()
        assert received(client, 4) == b"late"
        assert received(newcomer, 3) == b"new"


def test_stalled_then_cut(proxy: Proxy, client: socket.socket) -> None:
    """A mode replaces the one before: a stalled connection can be reset, one that waits to be made too."""
    proxy.stall()
    with connect(proxy) as newcomer:
        wait_until(lambda: proxy.connections == 2, "both are there")
        proxy.cut()
        for connection in (client, newcomer):
            with pytest.raises(ConnectionResetError):
                connection.recv(1)


def test_limit(proxy: Proxy, client: socket.socket) -> None:
    """No more than the rate passes, all connections together; healed, the rest passes at once."""
    assert asked(client, b"here") == b"here"
    before = proxy.forwarded
    began = time.monotonic()
    proxy.limit(200_000)
    with connect(proxy) as second:
        for connection in (client, second):
            connection.sendall(bytes(150_000))
        wait_until(lambda: proxy.forwarded - before >= 200_000, "a part passes")
        took = time.monotonic() - began
        # Both directions count; one slice may be ahead of the clock in each, and on each connection.
        assert proxy.forwarded - before <= 2 * 200_000 * (took + 0.2)
        proxy.heal()
        for connection in (client, second):
            assert received(connection, 150_000) == bytes(150_000)


def test_flap(proxy: Proxy) -> None:
    """Every so often all connections are reset; new ones are taken at once."""
    proxy.flap(0.1)
    for _ in range(3):
        with connect(proxy) as connection:
            assert asked(connection, b"here") == b"here"
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
    proxy.heal()
    with connect(proxy) as connection:
        assert hears_nothing(connection)
        assert asked(connection, b"still") == b"still"


def test_swallow_answers(proxy: Proxy, client: socket.socket, echo: Echo) -> None:
    """Requests arrive and are not answered; healed, the connection that lost an answer is reset."""
    with connect(proxy) as idle:
        assert asked(client, b"here") == asked(idle, b"here") == b"here"
        proxy.swallow_answers()
        client.sendall(b"lost")
        wait_until(lambda: echo.received == 12, "the request arrives")
        assert hears_nothing(client)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert asked(idle, b"fine") == b"fine"


def test_lose_answers_to(proxy: Proxy, client: socket.socket, echo: Echo) -> None:
    """Each so many requests of a kind arrive, are not answered, and cost the connection."""
    proxy.lose_answers_to(b"COMMIT", every=2)
    assert asked(client, b"BEGIN") == b"BEGIN"
    assert asked(client, b"COMMIT") == b"COMMIT"
    client.sendall(b"COMMIT")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert echo.received == 17
    proxy.heal()
    with connect(proxy) as again:
        assert [asked(again, b"COMMIT") for _ in range(2)] == [b"COMMIT"] * 2


def test_target(proxy: Proxy, client: socket.socket, echo: Echo) -> None:
    """Led elsewhere, new connections go there; where nobody listens, they are reset."""
    assert asked(client, b"here") == b"here"
    echo.close()
    with ExitStack() as stack:
        nowhere = stack.enter_context(socket.socket())
        nowhere.bind(("127.0.0.1", 0))
        proxy.target = nowhere.getsockname()[1]
        with pytest.raises(ConnectionResetError), connect(proxy) as connection:
            connection.recv(1)
        elsewhere = Echo()
        stack.callback(elsewhere.close)
        proxy.target = elsewhere.port
        with connect(proxy) as connection:
            assert asked(connection, b"there") == b"there"
        assert elsewhere.received == 5
        assert asked(client, b"here") == b"here"


def test_server_that_goes(proxy: Proxy) -> None:
    """When the server resets or closes, the client is told so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy.target = listener.getsockname()[1]
        with connect(proxy) as connection:
            served, _ = listener.accept()
            served.sendall(b"bye")
            served.close()
            assert received(connection, 10) == b"bye"
