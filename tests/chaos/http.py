"""A plain client of GET /orders/{uid}, over connections that stay open, which costs little."""

import socket
from typing import NamedTuple

CONNECT_SECONDS = 5.0


class Answer(NamedTuple):
    status: int
    head: bytes
    body: bytes

    def has_header(self, name: bytes) -> bool:
        return b"\r\n" + name + b":" in self.head.lower()


class HttpConnection:
    """One connection to the API of this machine, opened when it is needed; one request at a time.

    Raises OSError when the connection cannot be had or breaks; it is then closed, and `ask` opens another.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._received = bytearray()
        self.asked: str | None = None
        """The uid that is waited for."""

    def fileno(self) -> int:
        """Of the open connection, for a selector."""
        return self._socket.fileno() if self._socket else -1

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    @property
    def has_begun(self) -> bool:
        """Whether some of the answer to what was asked last has come."""
        return bool(self._received)

    def open(self) -> None:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), CONNECT_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, uid: str) -> None:
        """Send the request; `receive` reads the answer."""
        self.open()
        assert self._socket is not None
        self.asked = uid
        self._received.clear()
        try:
            self._socket.sendall(b"GET /orders/%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % uid.encode())
        except OSError:
            self.close()
            raise

    def receive(self) -> Answer | None:
        """Read what has come, blocking until something does: the answer, or None when it is not complete."""
        assert self._socket is not None
        try:
            piece = self._socket.recv(262_144)
            if not piece:
                raise ConnectionResetError("the API closed the connection before it answered")
        except OSError:
            self.close()
            raise
        self._received += piece
        answer = _parse(self._received)
        if answer is not None:
            self.asked = None
            if b"\r\nconnection: close" in answer.head.lower():
                self.close()
        return answer

    def get(self, uid: str, seconds: float) -> Answer:
        """Ask, and wait for the answer; `seconds` bounds each wait for the next piece of it."""
        self.ask(uid)
        assert self._socket is not None
        self._socket.settimeout(seconds)
        while (answer := self.receive()) is None:
            pass
        return answer

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self.asked = None, None


def _parse(received: bytearray) -> Answer | None:
    """The answer when it is complete; the API gives the length of every answer."""
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    head = bytes(received[:head_end])
    length = int(_header(head, b"content-length") or 0)
    body = received[head_end + 4 :]
    if len(body) < length:
        return None
    return Answer(int(head[9:12]), head, bytes(body))


def _header(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return None
