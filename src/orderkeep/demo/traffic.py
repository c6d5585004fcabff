"""The demo's traffic: a publisher, what it has published, and how long an order takes to be seen."""

import hashlib
import http.client
import queue
import secrets
import statistics
import threading
import time
from collections import deque
from urllib.parse import urlsplit

from msgspec import Struct

from orderkeep.brokers import make_publisher
from orderkeep.errors import OrderkeepError
from orderkeep.publish.message import GeneratedMessage
from orderkeep.publish.mixture import Mixture
from orderkeep.publish.run import PublishReport, publish
from orderkeep.settings import Settings

REMEMBERED = 200_000
"""Orders whose content is remembered, to be compared with what is served."""
SAMPLES = 2_000
PATIENCE_SECONDS = 10.0
POLL_SECONDS = 0.001


class Latency(Struct, frozen=True):
    """Milliseconds from the broker's timestamp to a 200 on GET, of the latest samples; None without any."""

    p50: float | None
    p99: float | None


class Traffic:
    """Publishes in a thread of its own until stopped; another thread samples what becomes visible when."""

    def __init__(self, settings: Settings, url: str, *, rate: float, bad: float) -> None:
        self._settings = settings
        self._url = url
        self._rate = rate
        self._bad = bad
        self._stop = threading.Event()
        self._to_sample: queue.Queue[tuple[str, int]] = queue.Queue(maxsize=1)
        self._samples: deque[float] = deque(maxlen=SAMPLES)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._publish, self._sample)]
        self.published = 0
        self.digests: dict[str, bytes] = {}
        self.failure: OrderkeepError | None = None
        self.report: PublishReport | None = None

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop publishing, and wait until the broker has confirmed what was sent."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def latency(self) -> Latency:
        samples = sorted(self._samples)
        if len(samples) < 2:
            return Latency(None, None)
        cuts = statistics.quantiles(samples, n=100, method="inclusive")
        return Latency(round(cuts[49], 2), round(cuts[98], 2))

    def _publish(self) -> None:
        try:
            publisher = make_publisher(self._settings, self._delivered)
            try:
                messages = Mixture(secrets.randbits(63), self._bad)
                self.report = publish(publisher, messages, rate=self._rate, stop=self._stop)
            finally:
                publisher.close()
        except OrderkeepError as error:
            self.failure = error

    def _delivered(self, message: GeneratedMessage, timestamp_ms: int) -> None:
        self.published += 1
        if message.kind != "order" or message.uid is None or message.payload is None:
            return
        if len(self.digests) < REMEMBERED:
            self.digests[message.uid] = hashlib.sha256(message.payload).digest()
        if self._to_sample.empty():
            self._to_sample.put_nowait((message.uid, timestamp_ms))

    def _sample(self) -> None:
        host = urlsplit(self._url)
        connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=PATIENCE_SECONDS)
        while not self._stop.is_set():
            try:
                uid, timestamp_ms = self._to_sample.get(timeout=0.1)
                if _wait_until_visible(connection, uid):
                    self._samples.append(time.time() * 1000 - timestamp_ms)
            except queue.Empty:
                continue
            except (OSError, http.client.HTTPException):
                connection.close()  # the API is being restarted: this sample is let go
        connection.close()


def _wait_until_visible(connection: http.client.HTTPConnection, uid: str) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        connection.request("GET", f"/orders/{uid}")
        answer = connection.getresponse()
        answer.read()
        if answer.status == http.HTTPStatus.OK:
            return True
        time.sleep(POLL_SECONDS)
    return False
