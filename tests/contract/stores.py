"""The stores that keep the contract: to add one, write a `Stores` for it and name it at the end."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple, Protocol

import asyncpg
import pytest

from orderkeep.storage.erasure import Eraser
from orderkeep.storage.events import EventReader
from orderkeep.storage.memory import MemoryStore
from orderkeep.storage.memory_erasure import MemoryEraser
from orderkeep.storage.memory_events import MemoryEvents
from orderkeep.storage.memory_rejects import MemoryRejects
from orderkeep.storage.postgres_erasure import PostgresEraser
from orderkeep.storage.postgres_events import PostgresEvents
from orderkeep.storage.postgres_reader import PostgresReader
from orderkeep.storage.postgres_rejects import PostgresRejects
from orderkeep.storage.postgres_writer import PostgresWriter
from orderkeep.storage.rejects import RejectStore
from orderkeep.storage.store import OrderReader, OrderWriter
from tests.conftest import Database
from tests.contract.implementations import implementations


class Reject(NamedTuple):
    """A message that was kept aside."""

    partition: int
    position: int
    kind: str
    reason: str
    payload: bytes | None
    key: bytes | None
    headers: tuple[tuple[bytes, bytes | None], ...]
    order_uid: str | None


class Stores(Protocol):
    """One empty store, and as many writers and readers of it as are asked for."""

    def writer(self, slot: int = 0) -> OrderWriter: ...

    def reader(self) -> OrderReader: ...

    def rejects(self) -> list[Reject]:
        """All of them, by position."""

    def reject_store(self) -> RejectStore: ...

    def events(self) -> EventReader: ...

    def eraser(self) -> Eraser: ...

    def age(self, days: float) -> None:
        """Have the rejects that are there now be received so many days earlier."""


class MemoryStores:
    def __init__(self) -> None:
        self._store = MemoryStore()

    def writer(self, slot: int = 0) -> OrderWriter:
        assert slot >= 0
        return self._store

    def reader(self) -> OrderReader:
        return self._store

    def rejects(self) -> list[Reject]:
        kept = [
            Reject(
                *(one.message.partition, one.message.position, one.kind, one.reason),
                *(one.message.payload, one.message.key, one.message.headers, one.order_uid),
            )
            for one, _ in self._store.rejects.values()
        ]
        return sorted(kept, key=lambda reject: reject[:2])

    def reject_store(self) -> RejectStore:
        return MemoryRejects(self._store)

    def events(self) -> EventReader:
        return MemoryEvents(self._store)

    def eraser(self) -> Eraser:
        return MemoryEraser(self._store)

    def age(self, days: float) -> None:
        rejects = self._store.rejects
        rejects.update({key: (one, at - timedelta(days=days)) for key, (one, at) in rejects.items()})


class PostgresStores:
    """Over the users that ingest and the API have in a real set-up."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def writer(self, slot: int = 0) -> OrderWriter:
        return PostgresWriter(self._database.ingest_url, slot)

    def reader(self) -> OrderReader:
        return PostgresReader(self._database.reader_url)

    def rejects(self) -> list[Reject]:
        rows = self._database.fetch(
            "select partition, position, kind, reason, payload, key, headers, order_uid"
            " from rejected_messages order by partition, position"
        )
        return [_reject(row) for row in rows]

    def reject_store(self) -> RejectStore:
        return PostgresRejects(self._database.ingest_url)

    def events(self) -> EventReader:
        return PostgresEvents(self._database.reader_url)

    def eraser(self) -> Eraser:
        return PostgresEraser(self._database.owner_url)

    def age(self, days: float) -> None:
        self._database.execute(
            "update rejected_messages set received_at = received_at - $1::interval", timedelta(days=days)
        )


def _reject(row: asyncpg.Record) -> Reject:
    flat = row["headers"]
    return Reject(**{**dict(row), "headers": tuple(zip(flat[::2], flat[1::2], strict=True))})


_OURS: dict[str, Callable[[pytest.FixtureRequest], Stores]] = {
    "memory": lambda _request: MemoryStores(),
    "postgres": lambda request: PostgresStores(request.getfixturevalue("database")),
}
STORES = implementations("STORE", _OURS)
