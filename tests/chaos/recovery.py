"""How long the service takes to be healthy again once the world is whole."""

import time

from confluent_kafka import KafkaException

from tests.chaos.http import HttpConnection
from tests.chaos.result import FaultRun
from tests.chaos.scene import Scene
from tests.chaos.witness import Witness

GIVEN_UP_SECONDS = 120.0
LOOK_SECONDS = 0.03


class Recovery:
    """Measures the faults that ended: healthy is when an order sent afterwards to each partition is served.

    The clock starts when the last of the faults that overlap has ended; all of them get the same seconds.
    """

    def __init__(self, scene: Scene, witness: Witness, limit: float) -> None:
        """`limit` in seconds: what takes longer is `late`."""
        self._scene, self._witness, self._limit = scene, witness, limit
        self._pending: list[FaultRun] = []
        self._since: float | None = None
        self._waiting: list[str] = []
        self._looked_at = 0.0
        self._connection = HttpConnection(scene.service.port)
        self.late: list[str] = []
        """Failures: which faults it took too long to recover from."""

    @property
    def pending(self) -> list[FaultRun]:
        """Faults that ended and are not recovered from."""
        return self._pending

    def fault_began(self) -> None:
        """What was sent to find out is not looked for any more: it may be late for another reason."""
        self._since = None

    def fault_ended(self, run: FaultRun) -> None:
        self._pending.append(run)
        self._since = None

    def step(self) -> None:
        """To be called again and again while no fault holds. Raises AssertionError when it takes for ever."""
        if not self._pending:
            return
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._waiting = []
        if not self._waiting:
            self._send_probes()
        if now - self._looked_at > LOOK_SECONDS:
            self._looked_at = now
            self._look()
        self._judge(time.monotonic() - self._since)

    def close(self) -> None:
        self._connection.close()

    def _send_probes(self) -> None:
        try:
            self._waiting = self._scene.load.probe(self._scene.partitions())
        except KafkaException:
            return  # the brokers are not back yet

    def _look(self) -> None:
        while self._waiting:
            uid, asked_at = self._waiting[0], time.monotonic()
            try:
                answer = self._connection.get(uid, 1.0)
            except OSError:
                self._connection.close()
                return
            self._witness.judge(uid, answer, asked_at, "while the service recovers")
            if answer.status != 200:
                return
            self._waiting.pop(0)
        for run in self._pending:
            run.recovery = round(time.monotonic() - (self._since or 0.0), 3)
        self._pending.clear()

    def _judge(self, seconds: float) -> None:
        names = ", ".join(run.name for run in self._pending)
        if names and seconds > self._limit and not self.late:
            self.late.append(f"not healthy {self._limit:g} s after: {names}")
        if names and seconds > GIVEN_UP_SECONDS:
            raise AssertionError(f"not healthy {GIVEN_UP_SECONDS:g} s after: {names}")
