"""The faults of a sequence as they happen: begun and ended in the calling thread, as planned."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.chaos.fault import Fault
from tests.chaos.plan import Planned, Stage
from tests.chaos.recovery import Recovery
from tests.chaos.result import FaultRun
from tests.chaos.scene import Scene
from tests.chaos.witness import Witness


@dataclass
class _Holding:
    fault: Fault
    run: FaultRun
    course: AbstractContextManager[None]
    until: float


class Timeline:
    """Steps through a plan. A fault that cannot overlap with one that holds waits for the end of that one."""

    def __init__(self, scene: Scene, witness: Witness, limit: float) -> None:
        self._scene, self._witness = scene, witness
        self._stages = list(scene.plan.stages)
        self._planned: list[Planned] = []
        self._holding: list[_Holding] = []
        self._done: list[Fault] = []
        self._began = self._quiet_since = self._stage_began = time.monotonic()
        self.recovery = Recovery(scene, witness, limit)
        self.runs: list[FaultRun] = []

    def step(self) -> bool:
        """Begin or end at most one fault, if one is due. True when all is over and the service healthy."""
        now = time.monotonic()
        ending = min(self._holding, key=lambda each: each.until, default=None)
        if ending is not None and ending.until <= now:
            self._end(ending)
        elif (planned := self._next(now - self._stage_began)) is not None:
            self._begin(planned)
        if not self._holding:
            self.recovery.step()
            self._forget_recovered()
        if not (self._planned or self._holding) and self._stages:
            self._begin_stage(self._stages[0])
        return not (self._stages or self._planned or self._holding or self.recovery.pending)

    def unsettled(self) -> list[Fault]:
        """The faults that hold, and those that the service has not recovered from."""
        return [*(each.fault for each in list(self._holding)), *self._done]

    def explains_no_answer(self) -> bool:
        """Whether a fault explains that the API refuses or breaks connections now."""
        return any("api" in fault.touches for fault in self.unsettled())

    def going_on(self) -> str:
        """For the description of a failure."""
        holding = ", ".join(each.run.name for each in list(self._holding)) or "nothing"
        after = ", ".join(run.name for run in list(self.recovery.pending))
        seconds = time.monotonic() - self._began
        return f"at {seconds:.2f} s, during: {holding}" + (f", after: {after}" if after else "")

    def undo(self) -> list[str]:
        """End what holds, after a failure: what went wrong with that."""
        problems = []
        while self._holding:
            try:
                self._end(self._holding[-1])
            except Exception as error:  # noqa: BLE001 - the failure before it is the one that counts
                problems.append(f"{error!r}")
        return problems

    def _begin_stage(self, stage: Stage) -> None:
        """Begin it if it is due."""
        if stage.patient and self.recovery.pending:
            self._quiet_since = time.monotonic()
        if time.monotonic() - self._quiet_since >= stage.pause:
            self._planned = list(self._stages.pop(0).faults)
            self._stage_began = time.monotonic()

    def _next(self, seconds: float) -> Planned | None:
        for planned in self._planned:
            if planned.start > seconds:
                return None
            if all(planned.fault.may_overlap(each.fault) for each in self._holding):
                return planned
        return None

    def _begin(self, planned: Planned) -> None:
        self._planned.remove(planned)
        run = FaultRun(planned.fault.name, planned.fault.part, self._seconds())
        others = [*(each.run for each in self._holding), *self.recovery.pending]
        for other in others:
            other.alone = False
        run.alone = not others
        self.recovery.fault_began()
        self.runs.append(run)
        course = planned.fault.course(self._scene, planned.dice())
        holding = _Holding(planned.fault, run, course, float("inf"))
        self._holding.append(holding)  # before it begins: what it does is explained by it
        self._witness.may_vanish |= planned.fault.may_vanish
        try:
            course.__enter__()
        except Exception as error:
            self._holding.remove(holding)
            raise AssertionError(f"the fault {run.name!r} did not begin: {error!r}") from error
        holding.until = time.monotonic() + planned.hold

    def _end(self, ending: _Holding) -> None:
        self._done.append(ending.fault)  # from here on it explains what it left behind
        self._holding.remove(ending)
        try:
            ending.course.__exit__(None, None, None)
        except Exception as error:
            raise AssertionError(f"the fault {ending.run.name!r} did not end: {error!r}") from error
        ending.run.end = self._seconds()
        self._quiet_since = time.monotonic()
        self.recovery.fault_ended(ending.run)

    def _forget_recovered(self) -> None:
        if not self.recovery.pending:
            self._done.clear()
            self._witness.may_vanish = False

    def _seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)
