"""A client of NATS Streaming in a few lines, which blocks: it publishes, over a socket of its own."""

import secrets
import socket

from orderkeep import stan_protocol as protocol

PATIENCE = 60.0
_AT_ONCE = 1_000


class StanWire:
    """Publishes to channels of a cluster; for one thread, and for one start of the server."""

    def __init__(self, port: int, cluster: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._file = self._socket.makefile("rb")
        assert self._file.readline().startswith(b"INFO ")
        self._send(b'CONNECT {"verbose":false}\r\nSUB _INBOX.wire.> 1\r\n')
        self._client_id = f"wire-{secrets.token_hex(4)}"
        self._id = secrets.token_hex(16).encode()
        self._published = self._confirmed = 0
        request = protocol.connect_request(
            self._client_id, "_INBOX.wire.heartbeat", self._id, ping_seconds=5, pings_out=3
        )
        self._write(f"_STAN.discover.{cluster}", "connect", request)
        self._subjects = protocol.read_connected(self._read("connect"))
        assert not self._subjects.error, self._subjects.error

    def publish(self, channel: str, payload: bytes, *, raw: bytes = b"") -> None:
        """Send; `raw` is added to the message as it is on the wire."""
        guid = str(self._published)
        message = protocol.publication(self._client_id, guid, channel, payload, self._id) + raw
        self._write(f"{self._subjects.publish}.{channel}", "ack", message)
        self._published += 1
        if self._published - self._confirmed >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Wait until the server has confirmed everything."""
        while self._confirmed < self._published:
            answer = protocol.read_published(self._read("ack"))
            assert not answer.error, answer
            self._confirmed += 1

    def close(self) -> None:
        self._socket.close()

    def _write(self, subject: str, reply: str, payload: bytes) -> None:
        self._send(f"PUB {subject} _INBOX.wire.{reply} {len(payload)}\r\n".encode() + payload + b"\r\n")

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _read(self, token: str) -> bytes:
        """The payload of the next message that came to this inbox."""
        while line := self._file.readline():
            verb, *words = line.split()
            if verb == b"PING":
                self._send(b"PONG\r\n")
            elif verb == b"MSG":
                content = self._file.read(int(words[-1]) + 2)[:-2]
                if words[0].endswith(token.encode()):
                    return content
            assert verb != b"-ERR", line
        raise ConnectionError("NATS has closed the connection")
