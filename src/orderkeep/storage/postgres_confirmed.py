"""What the writers of a process have committed or been told, so that a server that lacks it is noticed.

Positions are claimed on the strength of earlier commits ("everything below is stored"). On a server that
was promoted without them, or restored, such a claim would be false, and what is missing would never be read
again. Commits of a writer are in the database up to some moment or not at all, so its last one is proof.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from orderkeep.errors import DatabaseUnavailable, DatabaseWentBack, OutcomeUnknown
from orderkeep.storage.postgres_hosts import Branch
from orderkeep.storage.queries import QUERIES
from orderkeep.storage.store import SourceIdentity

if TYPE_CHECKING:
    from asyncpg import Connection


class LastCommit(NamedTuple):
    """A row of `progress` as a transaction left it; it is written by one slot of one process at a time."""

    group: str
    source: SourceIdentity
    partition: int
    updated_at: datetime


class Confirmed:
    """Shared by the writers of a process: their last commits, what `progress` said when they began, and the
    branch that all of them write to."""

    def __init__(self, *, shared: bool = False) -> None:
        """With `shared`, positions are also claimed on the strength of what other processes have confirmed.

        Whether a new primary has that is not known here: arriving at one is a database that went back.
        """
        self._shared = shared
        self._last: dict[int, LastCommit | None] = {}
        self._told: dict[tuple[str, SourceIdentity], dict[int, int]] = {}
        self._branch: Branch | None = None

    def arrive(self, branch: Branch | None) -> None:
        """A writer has connected to this branch; from now on nobody writes to another.

        Raises `DatabaseWentBack` when it is another one, and work is shared.
        """
        if self._shared and self._branch not in (None, branch):
            raise DatabaseWentBack("another server is the primary: it may lack what others had confirmed")
        self._branch = branch

    def check_branch(self, branch: Branch | None) -> None:
        """Raises `DatabaseUnavailable` when this is not the branch that a writer arrived at last."""
        if branch != self._branch:
            raise DatabaseUnavailable("another server is the primary now: connecting to it")

    def note(self, slot: int, branch: Branch | None, commit: LastCommit | None) -> None:
        """A transaction is committed; None when it left no row of `progress`, and so no proof.

        Raises `OutcomeUnknown` when another server became the primary meanwhile.
        """
        if branch != self._branch:
            raise OutcomeUnknown("the batch was committed, and another server is the primary now")
        self._last[slot] = commit

    def tell(self, group: str, source: SourceIdentity, positions: Mapping[int, int]) -> None:
        """The database said that the group has begun these partitions, and how far it has come."""
        self._told.setdefault((group, source), {}).update(positions)

    def forget(self, group: str, source: SourceIdentity, partition: int) -> None:
        """The rows of `progress` were taken back on purpose."""
        self._told.get((group, source), {}).pop(partition, None)
        self._last = {
            slot: commit
            for slot, commit in self._last.items()
            if commit is None or (commit.source, commit.partition) != (source, partition)
        }

    async def check(self, connection: "Connection[Any]") -> None:
        """Raises `DatabaseWentBack` when the server lacks the last commit of any writer, or knows less than
        it told."""
        for (group, source), told in self._told.items():
            rows = await connection.fetch(QUERIES["progress"], group, *source)
            _compare(source, told, {row["partition"]: row["next_position"] for row in rows})
        for slot, commit in list(self._last.items()):
            if commit is None:
                raise DatabaseWentBack("whether the database kept the last commit cannot be known")
            found = await connection.fetchval(
                QUERIES["last_commit"], commit.group, *commit.source, commit.partition, slot
            )
            if found is None or found < commit.updated_at:
                raise DatabaseWentBack(
                    f"the database lacks what it had confirmed of partition {commit.partition} of "
                    f"{commit.source.topic} at {commit.updated_at:%Y-%m-%d %H:%M:%S.%f} UTC"
                )


def _compare(source: SourceIdentity, told: Mapping[int, int], known: Mapping[int, int]) -> None:
    for partition, position in told.items():
        if known.get(partition, 0) < position:
            raise DatabaseWentBack(
                f"the database knew partition {partition} of {source.topic} up to {position}, "
                f"and now up to {known.get(partition, 0)}"
            )
