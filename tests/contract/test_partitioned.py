"""A table of orders divided by the hash of the uid, as in docs/scaling.md, works as a whole one."""

from orderkeep.storage.postgres_reader import PostgresReader
from orderkeep.storage.postgres_writer import PostgresWriter
from tests.conftest import Database
from tests.contract.partitioned import divide
from tests.orders import order, orders_batch

UNIQUE_WITHOUT_UID = """
    select count(*) from pg_index
    where indrelid = 'orders'::regclass and indisunique and not exists (
        select from pg_attribute
        where attrelid = indrelid and attnum = any(indkey) and attname = 'order_uid'
    )
"""


async def test_divided(database: Database) -> None:
    """What was there stays and is found as a repeat, what is new is stored, and the views see both."""
    assert database.value(UNIQUE_WITHOUT_UID) == 0
    writer, reader = PostgresWriter(database.ingest_url), PostgresReader(database.reader_url)
    await writer.write(orders_batch([order("a"), order("b")]))
    await writer.close()
    divide(database)
    writer = PostgresWriter(database.ingest_url)
    counts = await writer.write(orders_batch([order("a"), order("c")], partition=1))
    assert (counts["stored"], counts["duplicate"]) == (1, 1)
    found = await reader.orders(["a", "b", "c"])
    assert {each.order_uid: each.payload for each in found} == {uid: order(uid) for uid in "abc"}
    assert database.value("select count(distinct order_uid) from items") == 3
    assert database.value("select count(*) from pg_inherits where inhparent = 'orders'::regclass") == 16
    await writer.close()
    await reader.close()
