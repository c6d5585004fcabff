"""The program's own processes in the cluster: three of ingest, three of the API."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from orderkeep.embedded import ports
from tests.cluster.servers import TOPIC, Servers
from tests.conftest import INGEST, READER
from tests.service import PATIENCE, Process, run_command, wait_until

COUNT = 3
GROUP = "orderkeep"


class Processes:
    """Started in `running`. Start and restart them in the main thread: they end with the thread that did."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        """`folder` takes the logs."""
        self._folder, self._servers = folder, servers
        self._env = {
            "ORDERKEEP_DATABASE_URL": servers.url(INGEST),
            "ORDERKEEP_DATABASE_READ_URL": servers.url(READER),
            "ORDERKEEP_KAFKA_BROKERS": servers.kafka.bootstrap,
            "ORDERKEEP_KAFKA_TOPIC": TOPIC,
            "ORDERKEEP_KAFKA_GROUP": GROUP,
            "ORDERKEEP_CACHE": "both",
            "ORDERKEEP_REDIS_URL": servers.redis.url,
            "ORDERKEEP_INGEST_PORT": "0",
        }
        taken: list[int] = []
        for _ in range(COUNT):
            taken.append(ports.choose(None, "the API", besides=taken))
        self.addresses = [f"{ports.HOST}:{port}" for port in taken]
        self.ingest = [self._process(f"ingest-{number}", ["ingest"]) for number in range(1, COUNT + 1)]
        self.api = [
            self._process(f"api-{number}", ["api", f"--http-port={port}"])
            for number, port in enumerate(taken, 1)
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        """All of them; those that still run at the end are killed."""
        try:
            for process in (*self.ingest, *self.api):
                process.log.unlink(missing_ok=True)  # of an earlier run
                process.launch()
            for process in (*self.ingest, *self.api):
                process.wait_for("started")
            yield
        finally:
            for process in (*self.ingest, *self.api):
                process.kill()

    def stop(self) -> None:
        """Stop all in order. Raises AssertionError when one does not end with 0."""
        for process in (*self.ingest, *self.api):
            stop(process)

    def wait_until_acknowledged(self) -> None:
        """Wait until the group has committed the end of every partition."""
        consumer = Consumer(
            {"bootstrap.servers": self._servers.kafka.bootstrap, "group.id": GROUP, "log_level": 0}
        )
        try:
            wait_until(lambda: _unacknowledged(consumer) == 0, "everything is acknowledged")
        finally:
            consumer.close()

    def audit(self) -> dict[str, Any]:
        """The report of `orderkeep audit --json`."""
        done = run_command(self._folder, ["audit", "--json"], self._env)
        assert done.returncode in (0, 1), f"the audit ended with {done.returncode}: {done.stderr[-500:]}"
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def _process(self, name: str, arguments: list[str]) -> Process:
        return Process(self._folder, name, arguments, self._env)


def restart_ingest(process: Process) -> None:
    """Stop it in order, start it, and wait until it has partitions."""
    stop(process)
    process.start()
    wait_until(
        lambda: any(event["positions"] for event in process.events("partitions_assigned")),
        f"{process.name} has partitions",
    )


def restart_api(process: Process) -> None:
    """Stop it in order, start it, and wait until its cache is full."""
    stop(process)
    process.start()
    process.wait_for("cache_restored")


def stop(process: Process) -> None:
    """Stop it in order. Raises AssertionError when it does not end with 0."""
    code = process.stop()
    assert code == 0, f"{process.name} ended with {code}: {process.output()[-500:]}"


def _unacknowledged(consumer: Consumer) -> int:
    numbers = consumer.list_topics(TOPIC, PATIENCE).topics[TOPIC].partitions
    partitions = [TopicPartition(TOPIC, number) for number in numbers]
    ends = {part.partition: consumer.get_watermark_offsets(part, PATIENCE)[1] for part in partitions}
    committed = consumer.committed(partitions, PATIENCE)
    return sum(ends[part.partition] - max(0, part.offset) for part in committed)
