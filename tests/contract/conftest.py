"""Fixtures of the contracts: every implementation in turn."""

from collections.abc import AsyncIterator

import pytest

from orderkeep.storage.store import OrderReader, OrderWriter
from tests.contract.stores import STORES, Stores
from tests.orders import order, orders_batch

CLEAN, STAGED = "clean", "after duplicates"


@pytest.fixture(params=STORES)
def stores(request: pytest.FixtureRequest) -> Stores:
    """An empty store of each kind."""
    return STORES[request.param](request)


@pytest.fixture
async def writer(stores: Stores) -> AsyncIterator[OrderWriter]:
    writer = stores.writer()
    yield writer
    await writer.close()


@pytest.fixture
async def reader(stores: Stores) -> AsyncIterator[OrderReader]:
    reader = stores.reader()
    yield reader
    await reader.close()


@pytest.fixture(params=[CLEAN, STAGED])
async def any_writer(request: pytest.FixtureRequest, writer: OrderWriter) -> OrderWriter:
    """A writer that met only new orders, and one that just met a duplicate: they may work in other ways."""
    if request.param == STAGED:
        await meet_a_duplicate(writer)
    return writer


async def meet_a_duplicate(writer: OrderWriter, partition: int = 90) -> None:
    counts = await writer.write(orders_batch([order("before"), order("before")], partition=partition))
    assert counts["duplicate"] >= 1
