"""What a page of the list costs PostgreSQL: what its orders cost, however large the table is."""

import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from orderkeep.embedded import PostgresServer
from orderkeep.storage.queries import QUERIES
from tests.conftest import Database, drop_database, make_database

ORDERS = 20_000
BATCH = 20
"""Orders with the same time of receiving."""
LIMIT = 10

FILL = f"""
insert into orders (order_uid, track_number, customer_id, date_created, payload, received_at, source)
select 'order-' || md5(n::text), case when n % 10 > 0 then 'often' else 'track-' || n end,
       case when n % 10 > 0 then 'often' else 'customer-' || n / 100 end,
       case when n % 2 > 0 then timestamptz '2026-01-01'
            else timestamptz '2025-01-01' + n * interval '1 min' end,
       '{{}}', timestamptz '2026-06-01' + n / {BATCH} * interval '1 s', 1
from generate_series(1, {ORDERS}) as n
"""
FAR = "'2026-06-01 00:08:20+00', 'order-8'"
"""The end of a page in the middle of the list: its time of receiving, and its uid."""
PAGES = [
    *(("order_page", f"null, null, {after}, {LIMIT}") for after in ("null, null", FAR)),
    ("order_page", f"'2026-06-01 00:00:10+00', '2026-06-01 00:01:00+00', null, null, {LIMIT}"),
    ("order_page", f"null, '2020-01-01', null, null, {LIMIT}"),
    *(
        (query, f"{times}, {after}, {LIMIT}, '{value}'")
        for query, rare in (
            ("order_page_of_track_number", "track-10"),
            ("order_page_of_customer", "customer-7"),
        )
        for value in ("often", rare, "nobody")
        for times in ("null, null", "'2026-06-01 00:00:10+00', '2026-06-01 00:01:00+00'")
        for after in ("null, null", FAR)
    ),
    *(
        ("order_page_by_date_created", f"{times}, {after}, {LIMIT}")
        for times in ("null, null", "'2025-01-02', '2025-01-03'", "'2026-01-01', null", "null, '2020-01-01'")
        for after in ("null, null, null", f"'2026-01-01', {FAR}")
    ),
    *(
        ("order_page_by_uid", f"'{prefix}', {after}, {LIMIT}")
        for prefix in ("order-", "order-12", "nothing")
        for after in ("null", "'order-12f'")
    ),
]


@pytest.fixture(scope="module")
def filled(migrated: PostgresServer) -> Iterator[Database]:
    """Orders of which most are of one customer, one track number and one date, and all uids begin alike."""
    made = make_database(migrated)
    made.execute(FILL)
    made.execute("vacuum analyze orders")
    yield made
    drop_database(made)


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_no_page_reads_the_table(filled: Database, mode: str) -> None:
    """Every page is read from an index, a few rows of it, also when few orders agree or nearly all do."""
    connection = await asyncpg.connect(filled.reader_url)
    try:
        await connection.execute(f"set plan_cache_mode = {mode}")
        for query in sorted({query for query, _ in PAGES}):
            await connection.execute(f"prepare {query} as {QUERIES[query]}")
        for query, arguments in PAGES:
            told = await connection.fetchval(f"explain (analyze, format json) execute {query}({arguments})")
            (scan,) = leaves(json.loads(told)[0]["Plan"])
            assert scan["Node Type"] in ("Index Scan", "Index Only Scan"), (query, arguments, scan)
            read = scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)
            assert read <= LIMIT + 2 * BATCH, (query, arguments, scan)
    finally:
        await connection.close()


def leaves(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The nodes that read tables."""
    below = plan.get("Plans", [])
    for part in below:
        yield from leaves(part)
    if not below:
        yield plan
