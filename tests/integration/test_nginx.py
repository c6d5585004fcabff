"""The configuration of nginx that is shipped: it passes over a process of the API that is not there."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from orderkeep.api.refusals import MAX_BODY_BYTES
from orderkeep.embedded import ports, remove
from orderkeep.errors import ServerUnavailable
from tests.cluster import nginx
from tests.cluster.nginx import NginxServer
from tests.orders import order
from tests.unit.test_fast_lane import filled, served

READS = 60


@pytest.fixture(scope="module", autouse=True)
def _nginx_is_there() -> None:
    try:
        nginx.find()
    except ServerUnavailable as error:
        pytest.skip(str(error))


@contextmanager
def in_front_of(folder: Path, *addresses: int) -> Iterator[str]:
    """The URL of nginx before these ports; what is missing of three is a port where nothing listens."""
    nothing = [ports.choose(None, "nothing") for _ in range(3 - len(addresses))]
    with NginxServer(folder / "nginx", [f"{ports.HOST}:{port}" for port in (*addresses, *nothing)]) as server:
        yield f"http://{ports.HOST}:{server.port}"


async def test_stopped_under_reads(servers_folder: Path) -> None:
    """While one process after another stops, and nginx reloads, every read is answered, as long as one is left."""
    data = servers_folder / "nginx-reads"
    stops = [asyncio.Event() for _ in range(3)]
    store, cache = await filled()
    async with AsyncExitStack() as stack:
        ...


