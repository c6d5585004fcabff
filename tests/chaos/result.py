"""What is kept of a sequence: one JSON object a line."""

from pathlib import Path

import msgspec
from msgspec import Struct

SEQUENCES = "sequences.jsonl"


class FaultRun(Struct):
    """One fault of a sequence: seconds after the stream began, and until the service was healthy again.

    `recovery` counts from the moment when no fault held any more; None when that was not reached. It is this
    fault's own when it was `alone`: nothing else held, or was still to be recovered from.
    """

    name: str
    part: str
    start: float
    end: float | None = None
    recovery: float | None = None
    alone: bool = True


class SequenceResult(Struct):
    """`messages` were confirmed by the brokers; `outcomes` are the audit's counts; `reads` count statuses.

    `lost` are messages without their one right outcome, `twice` rows that no message explains; both None
    when the sequence did not get as far as the audit.
    """

    number: int
    seed: int
    protocol: str
    faults: list[FaultRun] = msgspec.field(default_factory=list)
    messages: int = 0
    outcomes: dict[str, int] = msgspec.field(default_factory=dict)
    lost: int | None = None
    twice: int | None = None
    reads: dict[str, int] = msgspec.field(default_factory=dict)
    read_back: int = 0
    wrong_bytes: int = 0
    vanished: int = 0
    server_errors: int = 0
    refused: int = 0
    restarts: int = 0
    seconds: float = 0.0
    phases: dict[str, float] = msgspec.field(default_factory=dict)
    failures: list[str] = msgspec.field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failures


def append(folder: Path, result: SequenceResult) -> None:
    """Add a line to the folder's file of sequences."""
    with (folder / SEQUENCES).open("ab") as file:
        file.write(msgspec.json.encode(result) + b"\n")


def read(folder: Path) -> list[SequenceResult]:
    """All sequences of a folder's file."""
    lines = (folder / SEQUENCES).read_bytes().splitlines()
    return [msgspec.json.decode(line, type=SequenceResult) for line in lines if line.strip()]
