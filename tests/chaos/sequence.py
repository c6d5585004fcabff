"""One sequence: stream, faults, recovery, and the proof that nothing was lost."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.plan import Plan
from tests.chaos.reader import Reader, read_back
from tests.chaos.result import SequenceResult
from tests.chaos.scene import Scene
from tests.chaos.servers import Servers
from tests.chaos.timeline import Timeline
from tests.chaos.witness import Witness

STEP_SECONDS = 0.01
ACKNOWLEDGED_SECONDS = 60.0
OUTCOMES = ("stored", "duplicate", "rejected", "conflict")


class Interrupted(Exception):
    """Somebody asked to stop in mid-sequence."""


class Sequence:
    """Runs a plan on the servers; `run` blocks until it is over and cleaned up.

    At least `messages` are sent, `rate` a second. Not to be healthy again `limit` seconds after a fault is a
    failure. `folder` takes the logs, and is removed when all went
    well. After `stop` is set, it ends early with `Interrupted` as a failure of its result.
    """

    def __init__(
        self,
        servers: Servers,
        plan: Plan,
        folder: Path,
        *,
        number: int,
        messages: int,
        rate: float,
        limit: float,
        stop: threading.Event,
        tell: Callable[[str], None],
    ) -> None:
        folder.mkdir(parents=True)
        self._servers, self._plan, self._folder = servers, plan, folder
        self._messages, self._limit, self._stop, self._tell = messages, limit, stop, tell
        self._scene = Scene(servers, plan, folder, name=f"chaos_{number}_{plan.seed}", rate=rate)
        self._witness = Witness(self._scene.load)
        self.result = SequenceResult(number=number, seed=plan.seed, protocol=plan.protocol)

    def run(self) -> SequenceResult:
        began = time.monotonic()
        try:
            self._run()
        except Interrupted:
            self.result.failures.append("interrupted")
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on with the next sequence
            self.result.failures.append(f"{type(error).__name__}: {error}")
        finally:
            self._clean_up()
        self.result.seconds = round(time.monotonic() - began, 2)
        if self.result.ok:
            shutil.rmtree(self._folder)
        return self.result

    def _run(self) -> None:
        with self._phase("start"):
            self._scene.open()
        timeline = Timeline(self._scene, self._witness, self._limit)
        self.result.faults = timeline.runs
        try:
            with self._phase("faults"), self._reading(timeline):
                self._scene.load.start()
                self._go_through(timeline)
                self._scene.load.finish()
                self._scene.wait_until_acknowledged(ACKNOWLEDGED_SECONDS)
            self.result.failures += timeline.recovery.late
        finally:
            self.result.failures += timeline.undo()
            timeline.recovery.close()
        self._prove()
        with self._phase("stop"):
            self._scene.service.stop()

    def _go_through(self, timeline: Timeline) -> None:
        load = self._scene.load
        while not timeline.step() or len(load.known) < self._messages:
            if self._stop.is_set():
                raise Interrupted
            if load.failure:
                raise AssertionError(load.failure)
            may_stop = any(fault.stops for fault in timeline.unsettled())
            self._scene.service.keep_up(may_stop=may_stop)
            self._tell(f"{load.delivered:,} messages, {timeline.going_on()}")
            time.sleep(STEP_SECONDS)

    @contextmanager
    def _reading(self, timeline: Timeline) -> Iterator[None]:
        reader = Reader(
            self._scene.service.port,
            self._scene.load,
            self._witness,
            seed=self._plan.seed,
            explained=timeline.explains_no_answer,
            going_on=timeline.going_on,
        )
        reader.start()
        try:
            yield
        finally:
            reader.stop()
        if reader.failure:
            raise AssertionError(reader.failure)

    def _prove(self) -> None:
        """Every message has its one outcome, every order is served as it was sent."""
        result, load = self.result, self._scene.load
        with self._phase("audit"):
            report = self._scene.audit()
        result.outcomes = {name: report[name] for name in OUTCOMES}
        result.lost, result.twice = report["missing"], report["extra"]
        result.failures += _differences(report, load.delivered, load.expected)
        with self._phase("read back"):
            result.read_back = read_back(self._scene.service.port, load, self._witness)

    def _clean_up(self) -> None:
        result, witness, load = self.result, self._witness, self._scene.load
        load.abandon()
        if not result.ok:
            self._scene.service.kill()
            self._servers.make_whole()
        try:
            self._scene.close()
        except Exception as error:  # noqa: BLE001 - told with the rest
            result.failures.append(f"topic and database could not be removed: {error!r}")
        result.messages = load.delivered
        result.reads = {str(status): count for status, count in sorted(witness.reads.items())}
        result.wrong_bytes, result.vanished = witness.wrong_bytes + witness.invented, witness.vanished
        result.server_errors, result.refused = witness.server_errors, witness.refused
        result.restarts = self._scene.service.restarts
        result.failures += witness.failures

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        self._tell(name)
        try:
            yield
        finally:
            self.result.phases[name] = round(time.monotonic() - began, 2)


def _differences(report: dict[str, Any], delivered: int, expected: dict[str | None, int]) -> list[str]:
    """In what the audit's counts are not what was sent.

    Which of two orders with one uid is stored first, and whether the other repeats or contradicts it,
    depends on the batches that they are in; that nothing else becomes of them does not.
    """
    pairs = {
        "missing": (report["missing"], 0),
        "extra": (report["extra"], 0),
        "messages": (report["messages"], delivered),
        "stored": (report["stored"], expected["stored"]),
        "rejected": (report["rejected"], expected["rejected"]),
        "repeated": (
            report["duplicate"] + report["conflict"],
            expected["duplicate"] + expected["conflict"],
        ),
    }
    found = [
        f"audit: {name} {seen:,}, and {wanted:,} is right"
        for name, (seen, wanted) in pairs.items()
        if seen != wanted
    ]
    return found + [f"audit: {problem}" for problem in report["problems"][:5] if found]
