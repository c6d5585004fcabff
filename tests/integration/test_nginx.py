"""The configuration of nginx that is shipped passes over a process of the API that is not there."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest

from orderkeep.embedded import ports, remove
from orderkeep.errors import ServerUnavailable
from tests.cluster import nginx
from tests.cluster.nginx import NginxServer
from tests.orders import order
from tests.unit.test_fast_lane import filled, served

CLIENTS, READS = 4, 40


@pytest.fixture(scope="module", autouse=True)
def _is_there() -> None:
    try:
        nginx.find()
    except ServerUnavailable as error:
        pytest.skip(str(error))


@contextmanager
def in_front_of(folder: Path, apis: list[int]) -> Iterator[NginxServer]:
    """nginx before three processes, of which those at the ports `apis` are there."""
    nothing = [ports.choose(None, "nothing") for _ in range(3 - len(apis))]
    data = folder / "nginx"
    try:
        with NginxServer(data, [f"{ports.HOST}:{port}" for port in (*apis, *nothing)]) as server:
            yield server
    finally:
        remove(data)


@asynccontextmanager
async def api(stop: asyncio.Event) -> AsyncIterator[int]:
    """The port of an API in this process, which ends when `stop` is set."""
    store, cache = await filled()
    async with served(cache, store, fast=True, stop=stop) as (port, _):
        yield port


async def test_process_stops(servers_folder: Path) -> None:
    """While one process is not there and another stops under reads, every read is answered."""
    stops = asyncio.Event(), asyncio.Event()
    answers: list[tuple[int, bytes]] = []
    async with AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(api(stop)) for stop in stops]
        server = stack.enter_context(in_front_of(servers_folder, apis))
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://{ports.HOST}:{server.port}", timeout=60)
        )

        async def read() -> None:
            for _ in range(READS):
                answer = await client.get("/orders/one")
                answers.append((answer.status_code, answer.content))
                if len(answers) == CLIENTS * READS // 2:
                    stops[0].set()
                await asyncio.sleep(0.01)

        await asyncio.gather(*(read() for _ in range(CLIENTS)))
    assert answers == [(200, order("one"))] * (CLIENTS * READS)


async def test_no_process(servers_folder: Path) -> None:
    """Without any process the answer is 503 as the API says it: a problem, and when to come back."""
    with in_front_of(servers_folder, []) as server:
        async with httpx.AsyncClient(base_url=f"http://{ports.HOST}:{server.port}") as client:
            answer = await client.get("/orders/one")
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["status"] == 503
