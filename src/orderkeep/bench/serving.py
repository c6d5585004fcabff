"""Stored orders, and processes of the API that serve them: what reading is measured on."""

from contextlib import ExitStack
from pathlib import Path

import uvloop

from orderkeep.api.server import listen
from orderkeep.bench import rows
from orderkeep.bench.programs import Client, running_command
from orderkeep.bench.restore import api_settings
from orderkeep.bench.rounds import Display
from orderkeep.bench.servers import Databases, databases
from orderkeep.errors import Fatal
from orderkeep.publish.draw import Draw
from orderkeep.storage.postgres_connection import close, connect
from orderkeep.storage.queries import QUERIES

ASKED = 20_000
"""Different orders that are asked for, at random."""


class Stored:
    """A database with orders, of which `asked` gives the payload of each that is asked for, by its uid.

    `paths` is a file with their paths, a line each. Everything blocks; what is started ends with `stack`.
    """

    def __init__(self, stack: ExitStack, orders: int, folder: Path, display: Display) -> None:
        self._stack, self._orders, self._folder = stack, orders, folder
        display.say("starting PostgreSQL")
        self.server: Databases = stack.enter_context(databases(folder))
        self.url: str = stack.enter_context(self.server.fresh("orders"))
        display.say("loading the orders")
        uvloop.run(rows.load(self.url, orders))
        self.server.settle()
        self.asked = uvloop.run(_choose(self.url))
        self.body_bytes = round(sum(map(len, self.asked.values())) / len(self.asked))
        self.paths = folder / "paths"
        self.paths.write_text("".join(f"/orders/{uid}\n" for uid in self.asked))

    def serve(self, name: str, *, processes: int = 1, **settings: str) -> str:
        """Start the API, wait until its cache is full, and look that it answers as it has to: its address.

        All of its processes listen on one socket.
        """
        listener = self._stack.enter_context(listen("127.0.0.1", 0, setting="ORDERKEEP_HTTP_PORT"))
        fd = listener.fileno()
        chosen = api_settings(self.url, self._orders) | settings
        for number in range(1, processes + 1):
            arguments = ["api", f"--fd={fd}"]
            command = running_command(f"{name}_{number}", arguments, chosen, self._folder, fds=[fd])
            program = self._stack.enter_context(command)
            address: str = program.event("started")["address"]
            program.event("cache_restored")
        client = Client(address)
        uid, payload = next(iter(self.asked.items()))
        if client.get(f"/orders/{uid}") != (200, payload):
            raise Fatal(f"{name}: the order {uid} was not answered byte for byte")
        client.close()
        return address


async def _choose(url: str) -> dict[str, bytes]:
    """Orders of the table, drawn with the bench's seed, in no order."""
    connection = await connect(url, "bench")
    try:
        uids = [row[0] for row in await connection.fetch("select order_uid from orders order by order_uid")]
        draw = Draw(rows.SEED, "asked")
        drawn = sorted(uids, key=lambda _: draw.fraction())[:ASKED]
        found = await connection.fetch(QUERIES["orders_by_uids"], drawn)
        payloads = {row["order_uid"]: row["payload"] for row in found}
        return {uid: payloads[uid] for uid in drawn}
    finally:
        await close(connection)
