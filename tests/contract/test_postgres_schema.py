"""The database itself: migrations, what each role may do, the views, and the text that it keeps."""

import re

import asyncpg
import pytest
import structlog.testing
from hypothesis import HealthCheck, given, settings

from orderkeep.errors import DatabaseUnavailable, Fatal, NotMigrated, Rejected
from orderkeep.order import decode
from orderkeep.storage.migrate import Migration, check_migrated, migrate, migrations
from orderkeep.storage.postgres_reader import PostgresReader
from orderkeep.storage.postgres_writer import PostgresWriter
from tests.conftest import Database
from tests.near_orders import near_documents, near_orders
from tests.orders import MODEL, SOURCE, document, order, orders_batch


async def test_migrate(empty_database: Database) -> None:
    """Every migration is applied once, in order, and named; a second time there is nothing to do."""
    said: list[str] = []
    assert await migrate(empty_database.owner_url, said.append) == len(migrations())
    assert said == [f"applying {step.name}" for step in migrations()]
    assert await migrate(empty_database.owner_url, said.append) == 0
    assert len(said) == len(migrations())
    await check_migrated(empty_database.owner_url)


def test_migrations_are_numbered() -> None:
    """The files are numbered from one without a gap."""
    assert [step.version for step in migrations()] == list(range(1, len(migrations()) + 1))


async def test_not_migrated(empty_database: Database) -> None:
    """A database without the tables, or with fewer than are needed, is named as that."""
    url = empty_database.owner_url
    for call in (
        check_migrated(url),
        PostgresWriter(url).progress(SOURCE, "group"),
        PostgresReader(url).order("a"),
    ):
        with pytest.raises(NotMigrated, match="`orderkeep migrate`"):
            await call
    await migrate(url)
    last = migrations()[-1]
    empty_database.execute(f"delete from schema_migrations where version = {last.version}")
    with pytest.raises(NotMigrated, match=re.escape(last.name)):
        await check_migrated(url)


async def test_changed_migration(database: Database) -> None:
    """A file that was changed after it ran is refused, and nothing is applied."""
    database.execute("update schema_migrations set sha256 = 'other' where version = 1")
    with pytest.raises(Fatal, match=r"0001_orders\.sql was changed"):
        await migrate(database.owner_url)


async def test_newer_database(database: Database) -> None:
    """A database that a newer program migrated is good enough for an older one, which says so."""
    database.execute("insert into schema_migrations values (9999, '9999_later.sql', 'x')")
    with structlog.testing.capture_logs() as logged:
        await check_migrated(database.owner_url)
    assert [(line["event"], line["migrations"]) for line in logged] == [
        ("database_is_newer", ["9999_later.sql"])
    ]
    said: list[str] = []
    assert await migrate(database.owner_url, said.append) == 0
    assert said == ["9999_later.sql was applied by a newer program, and stays"]


async def test_database_that_is_too_new(database: Database) -> None:
    """A migration that says which programs it leaves behind is refused by those, and by no others."""
    newest = migrations()[-1].version
    step = Migration(
        newest + 1, "9999_later.sql", f"-- Why.\n\n-- oldest program: {newest + 1:04}\nselect 1;"
    )
    assert step.oldest_program == newest + 1
    await migrate(database.owner_url, known=[*migrations(), step])
    await check_migrated(database.owner_url, known=[*migrations(), step])
    with pytest.raises(NotMigrated, match=r"newer program has applied 9999_later\.sql"):
        await check_migrated(database.owner_url)


async def test_migrated_before_programs_were_named(database: Database) -> None:
    """A database whose migrations do not say which programs they leave behind works, and learns to."""
    database.execute("alter table schema_migrations drop column oldest_program")
    await check_migrated(database.owner_url)
    assert await migrate(database.owner_url) == 0
    assert database.value("select max(oldest_program) from schema_migrations") == 0


async def test_migrate_holds_nobody_up(empty_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table in use for long is not waited for, since others would wait behind; later it works."""
    url, steps = empty_database.owner_url, migrations()
    monkeypatch.setattr("orderkeep.storage.migrate.migrations", lambda: steps[:4])
    await migrate(url)
    monkeypatch.undo()
    dump = await asyncpg.connect(url)
    async with dump.transaction():
        await dump.execute("lock table rejected_messages in access share mode")
        with pytest.raises(DatabaseUnavailable, match="55P03"):
            await migrate(url, tries=1)
    await dump.close()
    assert await migrate(url) == len(steps) - 4


async def test_migrate_needs_the_owner(database: Database) -> None:
    """Who may not make tables is told so in one line."""
    database.execute("delete from schema_migrations where version = 2")
    with pytest.raises(Fatal) as caught:
        await migrate(database.reader_url)
    assert "\n" not in str(caught.value)


FORBIDDEN_TO_INGEST = [
    "delete from orders",
    "update orders set customer_id = 'x'",
    "truncate orders",
    "delete from rejected_messages",
    *(
        f"update rejected_messages set {column} = default"
        for column in ("reason", "kind", "sha256", "position", "order_uid", "received_at")
    ),
    "insert into erased_orders (order_uid, reason) values ('a', 'b')",
    "delete from erased_orders",
    "delete from progress",
    "delete from sources",
    "truncate rejected_messages, progress, sources",
    *(f"{what} {table}" for table in ("replays", "gaps") for what in ("delete from", "truncate")),
    "update replays set detail = ''",
    "update gaps set accepted_at = now()",
    "update sources set topic = 'x'",
    "drop table orders",
    "alter table orders add column x text",
    "create table mine (x text)",
    "insert into schema_migrations values (9, 'x', 'x')",
]
FORBIDDEN_TO_READERS = [
    *FORBIDDEN_TO_INGEST,
    "insert into sources (kind, topic, incarnation) values ('a', 'b', 'c')",
    "insert into orders select * from orders",
    "insert into rejected_messages (source, partition, position, sha256, kind, reason)"
    " values (1, 1, 1, '', '', '')",
    "update rejected_messages set payload = null",
    "update rejected_messages set discarded_at = now()",
    "update progress set next_position = 0",
    "insert into replays (reject_id, outcome, detail) values (1, '', '')",
    "insert into gaps (consumer_group, source, partition, first_position, next_position)"
    " values ('', 1, 1, 1, 1)",
    "delete from shared_positions",
    "insert into progress (consumer_group, source, partition, writer, next_position) values ('', 1, 1, 1, 1)",
]


@pytest.mark.parametrize(
    ("user", "sql"),
    [("ingest", sql) for sql in FORBIDDEN_TO_INGEST] + [("reader", sql) for sql in FORBIDDEN_TO_READERS],
)
async def test_forbidden(database: Database, user: str, sql: str) -> None:
    """Ingest only adds, and discards what rejects hold; a reader changes nothing."""
    connection = await asyncpg.connect(database.ingest_url if user == "ingest" else database.reader_url)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(sql)
    finally:
        await connection.close()


GRANTED = """
select grantee, table_name, privilege_type
from information_schema.role_table_grants
where grantee in ('orderkeep_ingest', 'orderkeep_reader')
"""
ON_COLUMNS = """
select grantee, table_name, column_name, privilege_type
from information_schema.column_privileges
where grantee in ('orderkeep_ingest', 'orderkeep_reader') and privilege_type <> 'SELECT'
"""


def test_no_more_than_needed(database: Database) -> None:
    """Of all tables, those of tomorrow too: a reader reads, and ingest only adds to what is kept."""
    granted = {tuple(row) for row in database.fetch(GRANTED)}
    assert {right for role, _, right in granted if role == "orderkeep_reader"} == {"SELECT"}
    ingest = {(table, right) for role, table, right in granted if role == "orderkeep_ingest"}
    assert {right for _, right in ingest} <= {"SELECT", "INSERT", "UPDATE", "DELETE"}
    assert {table for table, right in ingest if right == "UPDATE"} == {"progress", "shared_positions"}
    assert {table for table, right in ingest if right == "DELETE"} == {"shared_positions"}
    assert ("schema_migrations", "INSERT") not in ingest

    columns = [tuple(row) for row in database.fetch(ON_COLUMNS)]
    assert {role for role, *_ in columns} == {"orderkeep_ingest"}
    assert {right for *_, right in columns} <= {"INSERT", "UPDATE"}
    discarded = {
        column for _, table, column, right in columns if table == "rejected_messages" and right == "UPDATE"
    }
    assert discarded == {"key", "headers", "payload", "discarded_at"}


def test_roles_are_nobody(database: Database) -> None:
    """Neither role can log in, make roles or databases, or own anything; public may make nothing either."""
    roles = database.fetch("select * from pg_roles where rolname in ('orderkeep_ingest', 'orderkeep_reader')")
    assert len(roles) == 2
    rights = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolcanlogin", "rolreplication", "rolbypassrls")
    assert not any(role[right] for role in roles for right in rights)
    owners = database.fetch("select distinct pg_get_userbyid(relowner) as owner from pg_class")
    assert not {"orderkeep_ingest", "orderkeep_reader"} & {row["owner"] for row in owners}
    for role in ("orderkeep_ingest", "orderkeep_reader"):
        assert not database.value("select has_schema_privilege($1, 'public', 'create')", role)
        assert not database.value("select has_database_privilege($1, current_database(), 'create')", role)


async def test_reader_as_writer(database: Database) -> None:
    """Ingest with a user who may only read is told which role to grant."""
    with pytest.raises(Fatal, match="orderkeep_ingest"):
        await PostgresWriter(database.reader_url).write(orders_batch([order("a")]))


async def test_views(database: Database) -> None:
    """Deliveries, payments and items are there for people who ask in SQL, as ingest and readers too."""
    model = document()
    writer = PostgresWriter(database.ingest_url)
    await writer.write(orders_batch([MODEL, order("two", items=model["items"] * 2), order("none", items=[])]))
    await writer.close()
    uid = model["order_uid"]
    (delivery,) = database.fetch("select * from deliveries where order_uid = $1", uid)
    (payment,) = database.fetch("select * from payments where order_uid = $1", uid)
    (item,) = database.fetch("select * from items where order_uid = $1", uid)
    assert dict(delivery) == {"order_uid": uid, **model["delivery"]}
    assert dict(payment) == {"order_uid": uid, **model["payment"]}
    assert dict(item) == {"order_uid": uid, "line": 1, **model["items"][0]}
    assert [
        row["line"] for row in database.fetch("select line from items where order_uid = 'two' order by 1")
    ] == [1, 2]
    assert database.fetch("select from items where order_uid = 'none'") == []
    for url in (database.ingest_url, database.reader_url):
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("select count(*) from deliveries, payments, items") == 27
        await connection.close()


def accepted_near_orders() -> list[bytes]:
    """Orders that the decoder accepts though something in them was changed."""
    accepted: list[bytes] = [MODEL]

    @settings(max_examples=1_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(near_orders() | near_documents())
    def collect(payload: bytes) -> None:
        try:
            decode(payload)
        except Rejected:
            return
        accepted.append(payload)

    collect()
    return accepted


async def test_whatever_is_accepted(database: Database) -> None:
    """Every order that the decoder accepts can be stored, read field by field and shown by the views."""
    payloads = accepted_near_orders()
    assert len(payloads) > 100
    # jsonb has a limit on exponents that json has not: that is why nothing is ever cast to it.
    usual = [text for text in payloads if not re.search(rb"[eE][+-]?\d{4,}", text)]
    texts = [text.decode() for text in usual]
    assert database.value("select count(value::jsonb) from unnest($1::text[]) as value", texts) == len(texts)
    writer = PostgresWriter(database.ingest_url)
    counts = await writer.write(orders_batch(payloads))
    await writer.close()
    assert counts["stored"] + counts["duplicate"] + counts["conflict"] == len(payloads)
    database.fetch("select value from orders, json_each_text(payload)")
    for view in ("deliveries", "payments", "items"):
        assert database.value(f"select count({view}::text) from {view}") > 0
