"""A client of NATS in a few lines, which blocks, and sends what well-behaved clients do not."""

import json
import socket
from collections.abc import Sequence
from typing import Any

PATIENCE = 60.0


class NatsWire:
    """Publishes to JetStream, and asks its API; for one thread. Subjects of a stream are its name."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._file = self._socket.makefile("rb")
        assert self._file.readline().startswith(b"INFO ")
        self._send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        self._send(b"SUB _INBOX.wire.* 1\r\n")
        self._unconfirmed = 0

    def publish(
        self, subject: str, payload: bytes, headers: Sequence[tuple[bytes, bytes]] = (), *, block: bytes = b""
    ) -> None:
        """Send; `block` are headers in the form of the wire, made up as the test likes."""
        if headers:
            block = b"NATS/1.0\r\n" + b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n"
        self._write(subject, "ack", payload, block)
        self._unconfirmed += 1
        if self._unconfirmed >= 1_000:
            self.flush()

    def send(self, subject: str, payload: bytes) -> None:
        """Publish without waiting for anything, or to what is no stream."""
        self._send(f"PUB {subject} {len(payload)}\r\n".encode() + payload + b"\r\n")

    def flush(self) -> None:
        """Wait until the stream has confirmed everything."""
        while self._unconfirmed:
            answer = json.loads(self._read("ack"))
            assert "seq" in answer, answer
            self._unconfirmed -= 1

    def ask(self, what: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        """A request to JetStream's API. Fails when it is refused."""
        self.flush()
        self._write(f"$JS.API.{what}", "api", json.dumps(request).encode() if request else b"")
        answer: dict[str, Any] = json.loads(self._read("api"))
        assert "error" not in answer, answer
        return answer

    def close(self) -> None:
        self._socket.close()

    def _write(self, subject: str, reply: str, payload: bytes, block: bytes = b"") -> None:
        sizes = f"{len(block)} {len(block) + len(payload)}" if block else f"{len(payload)}"
        verb = "HPUB" if block else "PUB"
        self._send(f"{verb} {subject} _INBOX.wire.{reply} {sizes}\r\n".encode() + block + payload + b"\r\n")

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _read(self, token: str) -> bytes:
        """The payload of the next message that came to this inbox."""
        while line := self._file.readline():
            verb, *words = line.split()
            if verb == b"PING":
                self._send(b"PONG\r\n")
            elif verb in (b"MSG", b"HMSG"):
                content = self._file.read(int(words[-1]) + 2)[:-2]
                if words[0].endswith(token.encode()):
                    return content[int(words[-2]) :] if verb == b"HMSG" else content
            assert verb != b"-ERR", line
        raise ConnectionError("NATS has closed the connection")
