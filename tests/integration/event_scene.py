"""Clients of the events: one that comes back whenever its stream ends, as browsers do."""

import http.client
import socket
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.server_sent_events import Told, events
from tests.service import PATIENCE, Service, wait_until


class EventClient:
    """Reads events in a thread of its own, from the moment at which it is entered until it is left.

    When a stream ends, for whatever reason, it comes back with the id of the last event.
    """

    def __init__(self, service: Service, *, last_id: str = "", **parameters: Any) -> None:
        self._service = service
        self._path = f"/events?{urlencode(parameters)}"
        self._socket: socket.socket | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.last_id = last_id
        self.told: list[Told] = []
        self.streams = 0
        """How often it was let in."""
        self.failure: BaseException | None = None

    def __enter__(self) -> "EventClient":
        self._thread.start()
        self.wait_until(lambda: self.last_id, "the stream begins")
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.cut()
        self._thread.join()
        assert self.failure is None, self.failure

    def heard(self, name: str = "stored") -> list[Any]:
        """The uids of the orders that it was told of, or the ids of the rejects."""
        field = {"stored": "order_uid", "rejected": "id"}[name]
        return [told.data[field] for told in list(self.told) if told.name == name]

    @property
    def skipped(self) -> int:
        return sum(told.data["count"] for told in list(self.told) if told.name == "skipped")

    @property
    def count(self) -> int:
        """How many events it knows of."""
        return len(self.heard()) + len(self.heard("rejected")) + self.skipped

    @property
    def reasons(self) -> list[str]:
        """Why streams ended, as far as that was said."""
        return [told.data["reason"] for told in list(self.told) if told.name == "bye"]

    def wait_for(self, count: int) -> None:
        self.wait_until(lambda: self.count >= count, f"{count} events are known of")

    def wait_until(self, condition: Any, what: str) -> None:
        wait_until(lambda: self.failure or condition(), what)
        assert self.failure is None, self.failure

    def cut(self) -> None:
        """Cut its connection, without a word to the server."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        try:
            while not self._ended.is_set():
                with suppress(OSError, http.client.HTTPException):
                    self._read_a_stream()
                self._ended.wait(0.05)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self.failure = error

    def _read_a_stream(self) -> None:
        place = urlsplit(self._service.url)
        assert place.hostname
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=PATIENCE)
        try:
            connection.connect()
            self._socket = connection.sock
            headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
            connection.request("GET", self._path, headers=headers)
            answer = connection.getresponse()
            if answer.status == 503:
                assert answer.headers["Retry-After"]
                return
            assert answer.status == 200, (answer.status, answer.read())
            assert answer.headers["Content-Type"] == "text/event-stream"
            self.streams += 1
            for told in events(iter(answer.readline, b"")):
                self.last_id = told.id or self.last_id
                if told.name:
                    self.told.append(told)
        finally:
            connection.close()
