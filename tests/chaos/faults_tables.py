"""Faults of what others do in the database: locks, rows in doubt, migrations, maintenance."""

import asyncio
import random
from collections.abc import Iterator

import asyncpg
import msgspec

from orderkeep.order import decode
from orderkeep.publish.message import GeneratedMessage
from orderkeep.storage.migrate import migrate
from tests.chaos.fault import fault
from tests.chaos.scene import Scene

FOREIGN_SOURCE = 0
"""No source has this number: the audit counts rows of its own source alone."""


@fault("table locked", part="postgres", hold=(1.0, 8.0))
def table_locked(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Somebody holds a lock on a table of the service that neither reads nor writes can pass."""
    table = dice.choice(("orders", "orders", "rejected_messages", "progress", "sources"))
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(scene.owner_url))
        runner.run(connection.execute(f"begin; lock table {table} in access exclusive mode"))
        yield
        runner.run(connection.execute("rollback"))
        runner.run(connection.close())


@fault("coming orders in doubt", part="postgres", hold=(1.0, 6.0), uses=frozenset({"load"}))
def rows_in_doubt(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Somebody has inserted orders that now come from the broker, and rolls back or commits later."""
    orders = scene.load.draw(dice.randrange(20, 200))
    commits = dice.random() < 0.5
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(scene.owner_url))
        runner.run(connection.execute("begin"))
        runner.run(_insert(connection, orders))
        outcome = "duplicate" if commits else "stored"
        scene.load.burst(msgspec.structs.replace(order, expected=outcome) for order in orders)
        yield
        runner.run(connection.execute("commit" if commits else "rollback"))
        runner.run(connection.close())


@fault("columns added and dropped", part="postgres", hold=(1.0, 4.0))
def columns_changed(scene: Scene, dice: random.Random) -> Iterator[None]:
    """The tables get columns under load and lose them again, so that prepared plans are of no use."""
    numbers = iter(range(10**6))

    def change() -> None:
        column = f"chaos_{next(numbers)}"
        table = dice.choice(("orders", "rejected_messages", "progress"))
        scene.execute(f"alter table {table} add column {column} text default 'x'")
        scene.execute(f"alter table {table} drop column {column}")

    with scene.meanwhile(change, dice, every=(0.1, 0.5)):
        yield


@fault("index built and dropped", part="postgres", hold=(0.5, 2.0))
def index_built(scene: Scene, dice: random.Random) -> Iterator[None]:
    """An index is built beside the writers, and dropped."""
    concurrently = dice.choice(("", "concurrently"))
    scene.execute(f"create index {concurrently} chaos_index on orders (customer_id, date_created)")
    yield
    scene.execute(f"drop index {concurrently} chaos_index")


@fault("migration run again", part="postgres", hold=(0.5, 2.0))
def migrated_again(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """`orderkeep migrate` under load, twice; it has nothing to do and must harm nothing."""
    asyncio.run(migrate(scene.owner_url))
    yield
    asyncio.run(migrate(scene.owner_url))


@fault("tables rewritten", part="postgres", hold=(0.5, 2.0))
def tables_rewritten(scene: Scene, dice: random.Random) -> Iterator[None]:
    """VACUUM FULL, CLUSTER or REINDEX of the tables under load: new files, and locks while they are made."""
    for table in ("orders", "rejected_messages", "progress"):
        command = dice.choice(
            (f"vacuum full {table}", f"reindex table {table}", f"cluster {table} using {table}_pkey")
        )
        scene.execute(command)
    yield


@fault("busy maintenance", part="postgres", hold=(1.0, 4.0))
def maintenance(scene: Scene, dice: random.Random) -> Iterator[None]:
    """CHECKPOINT, VACUUM, ANALYZE and forgotten plans, one after the other."""
    commands = ("checkpoint", "vacuum orders", "analyze", "vacuum progress", "discard plans")
    with scene.meanwhile(lambda: scene.execute(dice.choice(commands)), dice, every=(0.0, 0.1)):
        yield


async def _insert(connection: "asyncpg.Connection[asyncpg.Record]", messages: list[GeneratedMessage]) -> None:
    rows = []
    for message in messages:
        order = decode(message.payload)
        assert message.payload is not None
        rows.append(
            (
                order.order_uid,
                order.track_number,
                order.customer_id,
                order.date_created,
                message.payload.decode(),
                FOREIGN_SOURCE,
            )
        )
    await connection.executemany(
        "insert into orders (order_uid, track_number, customer_id, date_created, payload, source)"
        " values ($1, $2, $3, $4, $5, $6)",
        rows,
    )
