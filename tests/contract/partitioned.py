"""PostgreSQL with `orders` in partitions, to try the contracts of a store on:

ORDERKEEP_TEST_STORE=tests.contract.partitioned:store make test ARGS='tests/contract/test_store.py'
"""

import pytest

from tests.conftest import OWNER, Database
from tests.contract.stores import PostgresStores
from tests.documents import ROOT

SCRIPT = ROOT / "deploy" / "postgres" / "partition-orders.sql"


def divide(database: Database) -> None:
    """Run the script as the owner of the tables."""
    database.execute(f"set role {OWNER};\n{SCRIPT.read_text()}")


def store(request: pytest.FixtureRequest) -> PostgresStores:
    """An empty one of this test's own."""
    database = request.getfixturevalue("database")
    divide(database)
    return PostgresStores(database)
