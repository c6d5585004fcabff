"""The statements of the runbook can be given to PostgreSQL as they are, by somebody with the least rights."""

import asyncpg
import pytest

from tests.conftest import Database
from tests.documents import blocks, statements

STATEMENTS = [
    text for block in blocks("docs/runbook.md") if block.language == "sql" for text in statements(block)
]


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_statements(database: Database, statement: str) -> None:
    """A statement that only looks is answered; the runbook has no other in a block."""
    assert statement.startswith("select ")
    connection = await asyncpg.connect(database.reader_url)
    try:
        async with connection.transaction(readonly=True):
            assert isinstance(await connection.fetch(statement), list)
    finally:
        await connection.close()
