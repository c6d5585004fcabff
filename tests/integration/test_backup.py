"""The runbook of backup and restore, followed word by word, under load: nothing is missing afterwards."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orderkeep.embedded import PostgresServer
from orderkeep.embedded.binaries import postgres_binaries
from orderkeep.embedded.postgres import _unprivileged_account
from orderkeep.embedded.postgres_cluster import libpq_variables
from orderkeep.storage.migrate import migrate
from tests.conftest import INGEST, OWNER, PASSWORD, READER, Database, start_or_skip
from tests.documents import Block, blocks, commands
from tests.orders import order
from tests.service import PATIENCE, Service

from .conftest import MakeService
from .load import Load, wait_for_commits

PAGE = "docs/backup.md"
FOLDER = "/var/backups/orderkeep"
"""What the page calls the folder of the backups."""
NAME = "orderkeep"


def shown(section: str, language: str = "sh") -> list[Block]:
    return [block for block in blocks(PAGE) if (block.section, block.language) == (section, language)]


class Machine:
    """The machine of the page: a server with its settings, a folder for backups, who runs the commands."""

    def __init__(self, data: Path, backups: Path) -> None:
        """`backups` is a folder that the user of the server can enter."""
        self._account = _unprivileged_account()
        self.backups = backups
        (backups / "wal").mkdir()
        if self._account:
            for path in (backups, backups / "wal"):
                os.chown(path, self._account.uid, self._account.gid)
        (configuration,) = shown("Base backup and WAL archive", "ini")
        lines = (line.split(" = ", 1) for line in self._here(configuration.text).splitlines())
        settings = {"fsync": "off", **{name: text.strip("'") for name, text in lines}}
        self.server = PostgresServer(data, settings=settings)
        start_or_skip(self.server)
        self.server.create_user(OWNER, PASSWORD, createrole=True)
        self.server.create_database(NAME, OWNER)
        with ThreadPoolExecutor(1) as elsewhere:  # a thread without a loop
            elsewhere.submit(asyncio.run, migrate(self.server.url(OWNER, database=NAME))).result()
        self.server.create_user(INGEST, PASSWORD, in_role="orderkeep_ingest")
        self.server.create_user(READER, PASSWORD, in_role="orderkeep_reader")
        self.database = Database(self.server, NAME)

    def follow(self, block: Block, service: Service) -> None:
        """Run the commands of a block one after the other; each has to succeed."""
        for command in commands(block):
            match command.split():
                case ["pg_ctl", "stop", *_]:
                    self.server.kill()
                case ["pg_ctl", "start"]:
                    self.server.start()
                case ["orderkeep", "audit"]:
                    prove_later(command)
                case ["orderkeep", *_]:
                    url = {"ORDERKEEP_DATABASE_MIGRATE_URL": self.database.owner_url}
                    self._run(command, {**service.api.env, **url})
                case _:
                    self._run(command, libpq_variables(self.server.url()), as_server=True)

    def _here(self, text: str) -> str:
        return text.replace(FOLDER, str(self.backups))

    def _run(self, command: str, variables: dict[str, str], *, as_server: bool = False) -> None:
        account = self._account if as_server else None
        (setup,) = shown("Backup and restore")
        path = [str(postgres_binaries(self._account)), str(Path(sys.executable).parent), os.environ["PATH"]]
        data = self.server.data.resolve() / "cluster" / "pgdata"
        done = subprocess.run(
            ["sh", "-euc", f"{self._here(setup.text)}\n{command}"],
            cwd=self.backups,
            env={**os.environ, **variables, "PATH": os.pathsep.join(path), "PGDATA": str(data)},
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"


def prove_later(command: str) -> None:
    """The page runs the audit last, when the lag is 0; so do the tests, and look at more of it."""
    assert command == "orderkeep audit"


@pytest.fixture
def machine(servers_folder: Path) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="orderkeep-test-") as backups:
        Path(backups).chmod(0o755)
        machine = Machine(servers_folder / "postgres-backup", Path(backups))
        yield machine
        machine.server.stop("immediate")


@pytest.fixture
def database(machine: Machine) -> Database:
    return machine.database


@pytest.mark.timeout(300)
def test_runbook(make_service: MakeService, machine: Machine) -> None:
    """Backed up, destroyed and restored under load, by either way, ingest reads again all that is missing."""
    service = make_service()
    service.start_ingest()
    erased = order("erased")
    with Load(service) as load:
        wait_for_commits(service.ingest)
        (back_up,) = shown("Base backup and WAL archive")
        machine.follow(back_up, service)
        wait_for_commits(service.ingest, 200)
        (restore, restore_dump) = shown("Restore it")
        machine.follow(restore, service)
        load.wait_for_more()
        wait_for_commits(service.ingest)

        # The second way: an order that is erased after the dump does not come back with it.
        service.send([erased], partition=0)
        (dump,) = shown("Dump")
        machine.follow(dump, service)
        (machine.backups / "erased.txt").write_text("erased\n")
        wait_for_commits(service.ingest)
        service.ingest.stop()
        machine.follow(restore_dump, service)
        service.start_ingest()
        load.wait_for_more()
    service.wait_until_acknowledged()
    report = service.audit()
    assert (report["exit_code"], report["missing"], report["extra"]) == (0, 0, 0), report
    assert report["erased"] == 1
    assert report["messages"] == load.delivered + 1
    assert report["stored"] == load.expected["stored"]
    assert report["rejected"] == load.expected["rejected"]
