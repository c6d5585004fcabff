"""A stream of orders with broken messages among them, and the proof that the service lost none of it."""

import threading
from collections import Counter
from types import TracebackType
from typing import Any, Self

import httpx

from orderkeep.publish.message import GeneratedMessage
from orderkeep.publish.mixture import Mixture
from orderkeep.publish.run import publish
from tests.service import Process, Service, wait_until

RATE = 400.0


class Load:
    """Publishes to the service's topic while it is entered; the same seed makes the same messages.

    `delivered` counts what the broker has confirmed, `payloads` holds, by uid, all that was sent for it.
    """

    def __init__(self, service: Service, *, bad: float = 0.05, rate: float = RATE, seed: int = 1) -> None:
        self._service = service
        self._messages = Mixture(seed, bad)
        self._rate = rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self._failure: BaseException | None = None
        self.delivered = 0
        self.kinds: Counter[str] = Counter()
        self.expected: Counter[str | None] = Counter()
        self.payloads: dict[str, list[bytes]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    @property
    def undisputed(self) -> dict[str, bytes]:
        """The orders whose uid nothing else was sent for, so that there is no doubt what is served."""
        return {uid: sent[0] for uid, sent in list(self.payloads.items()) if len(set(sent)) == 1}

    def wait_for_more(self, count: int = 100) -> None:
        """Wait until the broker has taken so many more messages."""
        enough = self.delivered + count
        wait_until(lambda: self.delivered >= enough or self._failure, "the broker takes messages")

    def _publish(self) -> None:
        try:
            publisher = self._service.publisher(self._count_delivered)
            try:
                publish(publisher, self._messages, rate=self._rate, stop=self._stop)
            finally:
                publisher.close()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of the test
            self._failure = error

    def _count_delivered(self, message: GeneratedMessage, _timestamp_ms: int) -> None:
        self.kinds[message.kind] += 1
        self.expected[message.expected] += 1
        if message.uid is not None and message.payload is not None:
            self.payloads.setdefault(message.uid, []).append(message.payload)
        self.delivered += 1


def status(ingest: Process) -> dict[str, Any]:
    """What the health page of a running ingest says."""
    found: dict[str, Any] = httpx.get(f"{ingest.events('started')[0]['health']}/health/ready").json()
    return found


def wait_for_commits(ingest: Process, count: int = 100) -> None:
    """Wait until this process has stored so many more orders."""
    enough = stored(ingest) + count
    wait_until(lambda: stored(ingest) >= enough, f"{ingest.name} stores; it says {ingest.output()[-1_000:]}")


def stored(ingest: Process) -> int:
    """How many orders this process has stored."""
    return int(status(ingest)["outcomes"].get("stored", 0))


def prove(service: Service, *loads: Load) -> None:
    """Wait for the last acknowledgement: then each message has one outcome, the one that it should have.

    Which of two orders with one uid is stored first, and whether the other repeats or contradicts it,
    depends on the batches that they are in; that nothing else becomes of them does not.
    """
    service.wait_until_acknowledged()
    report = service.audit()
    expected = sum((load.expected for load in loads), Counter())
    assert (report["exit_code"], report["missing"], report["extra"]) == (0, 0, 0), report
    assert report["messages"] == sum(load.delivered for load in loads)
    assert report["stored"] == expected["stored"]
    assert report["rejected"] == expected["rejected"]
    assert report["duplicate"] + report["conflict"] == expected["duplicate"] + expected["conflict"]


def read_back(service: Service, load: Load) -> None:
    """Every order that nothing contradicts is served as it was sent."""
    with httpx.Client(base_url=service.url) as client:
        for uid, payload in load.undisputed.items():
            answer = client.get(f"/orders/{uid}")
            assert (answer.status_code, answer.content) == (200, payload), uid
