"""One run: the cluster under load, each part restarted in turn, and the proof that nothing was lost."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg

from tests.chaos.load import Load
from tests.chaos.reader import read_back
from tests.chaos.witness import Witness
from tests.cluster.nginx import NginxServer
from tests.cluster.processes import Processes
from tests.cluster.reader import Readers
from tests.cluster.report import Report, Restarted
from tests.cluster.restarts import Restart, rolling
from tests.cluster.servers import DATABASE, TOPIC, Servers
from tests.service import wait_until

CALM_SECONDS = 3.0
"""Of load alone, before the first restart and after the last."""
COUNTED = ("messages", "stored", "duplicate", "rejected", "conflict", "missing", "extra")
_COMMITS = "select distinct extract(epoch from received_at)::float8 from orders order by 1"


class Run:
    """The cluster in `folder`; `logs` takes the logs of the program's processes.

    `report` fills while `go` works. Sends `rate` messages a second, `bad` of them broken, and restarts
    everything in turn, again and again until `seconds` are over, at least once.
    """

    def __init__(
        self,
        folder: Path,
        logs: Path,
        *,
        rate: float,
        bad: float,
        seed: int,
        seconds: float,
        say: Callable[[str], None],
    ) -> None:
        self.report = Report()
        self._logs, self._seconds, self._say = logs, seconds, say
        self._servers = Servers(folder, say)
        self._rate, self._bad, self._seed = rate, bad, seed
        self._folder = folder
        self._load: Load | None = None
        self._readers: Readers | None = None
        self._doing = ""

    def status(self) -> str:
        """How it stands, in a line."""
        if self._load is None or self._readers is None:
            return self._doing
        made = self._readers.made
        return (
            f"published {self._load.delivered:,}   reads {made['reads']:,}   failed {made['failed']:,}   "
            f"restarted {len(self.report.restarts)}   {self._doing}"
        )

    def go(self) -> None:
        """Blocks until all is over and stopped. Raises `Fatal` when the servers cannot be had."""
        with ExitStack() as stack:
            self._doing = "starting three brokers, PostgreSQL with a standby, Valkey"
            servers = stack.enter_context(self._servers)
            self._doing = "starting three processes of ingest, three of the API, nginx"
            processes = Processes(self._logs, servers)
            stack.enter_context(processes.running())
            nginx = stack.enter_context(NginxServer(self._folder / "nginx", processes.addresses, self._say))
            began = time.monotonic()
            with self._loaded(nginx.port) as load:
                self._restart_all(processes, nginx, began)
            self.report.seconds = time.monotonic() - began
            self._prove(processes, load, nginx.port)
            self._doing = "stopping"
            processes.stop()

    @contextmanager
    def _loaded(self, port: int) -> Iterator[Load]:
        """Published and read all the while; at the end all that was sent is confirmed."""
        load = self._load = Load(
            self._servers.kafka.bootstrap, TOPIC, seed=self._seed, bad=self._bad, rate=self._rate
        )
        readers = self._readers = Readers(port, load, self._seed)
        load.start()
        readers.start()
        try:
            yield load
            load.finish()
        finally:
            load.abandon()
            readers.stop()
        self._note_reads(readers)

    def _restart_all(self, processes: Processes, nginx: NginxServer, began: float) -> None:
        self._rest()
        while True:
            for each in rolling(self._servers, processes, nginx):
                self._restart(each)
            if time.monotonic() - began >= self._seconds:
                break
        self._rest()

    def _restart(self, restart: Restart) -> None:
        self._doing = f"{restart.part}: {restart.how}"
        found = Restarted(restart.part, restart.how, time.time())
        began = time.monotonic()
        restart.act()
        self._wait_until_served()
        found.seconds = time.monotonic() - began
        self.report.restarts.append(found)
        self._say(f"{restart.part}: {restart.how}: {found.seconds:.1f} s")

    def _wait_until_served(self) -> None:
        """Wait until an order is served that was sent from now on."""
        assert self._readers is not None
        delays = self._readers.delays
        seen = len(delays)
        wait_until(lambda: len(delays) > seen + 1, "a new order is served")  # the first may be an older one

    def _rest(self) -> None:
        self._doing = "load alone"
        time.sleep(CALM_SECONDS)

    def _note_reads(self, readers: Readers) -> None:
        report, made = self.report, readers.made
        report.reads, report.failed_reads = made["reads"], made["failed"]
        report.repeated_reads = made["repeated"]
        report.note_delays(readers.delays)
        report.failures += readers.failures

    def _prove(self, processes: Processes, load: Load, port: int) -> None:
        report = self.report
        report.published = load.delivered
        self._doing = "waiting until everything is acknowledged"
        processes.wait_until_acknowledged()
        self._doing = "the audit"
        found = processes.audit()
        report.audit = {name: found[name] for name in COUNTED}
        report.failures += [f"the audit: {problem}" for problem in found["problems"][:5]]
        if found["missing"] or found["extra"] or found["messages"] != load.delivered:
            report.failures.append(f"the audit: {report.audit}, and {load.delivered} messages were sent")
        self._doing = "reading every order back"
        witness = Witness(load)
        report.read_back = read_back(port, load, witness)
        report.failures += witness.failures
        report.note_gaps(asyncio.run(_commits(self._servers.primary.url(database=DATABASE))))


async def _commits(url: str) -> list[float]:
    connection = await asyncpg.connect(url, ssl=False)
    try:
        return [row[0] for row in await connection.fetch(_COMMITS)]
    finally:
        await connection.close()
