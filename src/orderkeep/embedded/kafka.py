"""Apache Kafka as a child process: one node, broker and controller in one (KRaft)."""

import atexit
import base64
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from orderkeep.errors import Fatal, ServerUnavailable

from . import ports
from .java import java, kafka_class_path
from .place import Claim, explained
from .process import Child, end_leftovers, telling_line

START_PATIENCE = 60.0
"""Seconds for the broker to answer, recovery of its log included."""
SETTINGS = "server.properties"
LOGS = "logs"
"""Both within the data folder, where the server runs: a path of any alphabet need not be told to Java."""
_TELLING = ("ERROR", "FATAL", "Exception", "Error:", "cannot")
_JAVA_OPTIONS = (
    *("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true"),
    # The JVM's shared file of counters is in a world-writable folder, and nobody reads it.
    "-XX:-UsePerfData",
    *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"),
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)


def _silent(_: str) -> None:
    pass


class KafkaServer:
    """A single Kafka node in `data`, served in plain text on the loopback address while started.

    Topics keep every message, are not made by asking for them, and a consumer group is formed without delay.
    It shuts down by itself when this process dies (Linux).
    """

    host = ports.HOST

    def __init__(self, data: Path, *, port: int | None = None, say: Callable[[str], None] = _silent) -> None:
        """With `port` None, `start` chooses a free one, and keeps it for later starts of this object."""
        self.data = Path(data).absolute()
        self.port = port or 0
        self.log = self.data / "kafka.log"
        self._controller_port = 0
        self._say = say
        self._claim: Claim | None = None
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """What a client needs as bootstrap.servers."""
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id of the running server."""
        return self._child.pid if self._child and self._child.alive() else None

    def start(self) -> None:
        """Start the server, fetching its jars on first use; returns when it answers clients.

        Raises `Fatal` when the folder is in use or the port taken, or when the server does not come up, with
        the last telling line of its log; `ServerUnavailable` when Java or the jars cannot be had.
        """
        if self.pid:
            return
        self._let_go()
        program, class_path = java(), kafka_class_path(self._say)
        self._claim = Claim(self.data)
        try:
            with explained(self.data):
                self._start(program, class_path)
        except BaseException:
            self.kill()
            raise

    def _start(self, program: Path, class_path: list[Path]) -> None:
        end_leftovers(self.data, signal.SIGTERM)
        self.port = ports.choose(self.port or None, "Kafka")
        self._controller_port = ports.choose(None, "Kafka's controller")
        java_command = [str(program), *_JAVA_OPTIONS, "-cp", ":".join(map(str, class_path))]
        settings = self._settings()
        if not (self.data / LOGS).exists():
            self._say("making Apache Kafka's storage")
            _format(java_command, settings, self.data)
        _write_properties(self.data / SETTINGS, settings)
        self._say(f"starting Apache Kafka on port {self.port}")
        self._child = Child(
            [*java_command, "kafka.Kafka", SETTINGS],
            log=self.log,
            on_death=signal.SIGTERM,
            folder=self.data,
        )
        atexit.register(self.stop)
        self._wait_until_ready(self._child)

    def _settings(self) -> dict[str, str]:
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{self.host}:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{self.host}:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "log.dirs": LOGS,
            "log.retention.ms": "-1",
            "log.cleaner.dedupe.buffer.size": "8388608",  # of the heap; the default is 128 MiB
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "offsets.retention.minutes": "5256000",  # ten years: a demo may rest for more than a week
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "group.consumer.min.session.timeout.ms": "1000",
            "group.consumer.min.heartbeat.interval.ms": "300",
            "metric.reporters": "",
            # After a crash the node is refused until its old session has ended; the default is 9 s.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
        }

    def _wait_until_ready(self, child: Child) -> None:
        deadline = time.monotonic() + START_PATIENCE
        while not ports.accepts(self.port) or not self._answers():
            if not child.alive():
                raise Fatal(f"Kafka did not start: {child.last_words(_TELLING)} (its log: {self.log})")
            if time.monotonic() > deadline:
                raise Fatal(
                    f"Kafka did not answer within {START_PATIENCE:.0f} seconds: "
                    f"{child.last_words(_TELLING)} (its log: {self.log})"
                )
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return bool(self._admin().list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def stop(self) -> None:
        """Shut down in order and wait; what does not end within 20 seconds is killed."""
        if self._child:
            self._child.stop((signal.SIGTERM, 20.0))
        self._let_go()

    def kill(self) -> None:
        """SIGKILL: a crash. The data folder is free again afterwards."""
        if self._child:
            self._child.kill()
        self._let_go()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered."""
        self._running().pause()

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._running().resume()

    def create_topic(self, name: str, partitions: int = 4, config: Mapping[str, str] | None = None) -> None:
        """Make a topic and wait until its partitions can be written; one that is there stays as it is.

        Raises confluent_kafka.KafkaException when the broker refuses it.
        """
        admin = self._admin()
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        try:
            admin.create_topics([topic])[name].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        while not _has_leaders(admin, name):
            time.sleep(0.02)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and its messages; nothing happens when there is none."""
        admin = self._admin()
        try:
            admin.delete_topics([name])[name].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def _running(self) -> Child:
        if not self._child:
            raise ServerUnavailable("Kafka is not running. Start it first.")
        return self._child

    def _let_go(self) -> None:
        atexit.unregister(self.stop)
        self._child = None
        if self._claim:
            self._claim.release()
            self._claim = None


def _format(java_command: list[str], settings: Mapping[str, str], data: Path) -> None:
    """Make the folder of a new node, complete or not at all.

    Without Kafka's own tool the node would start too, but without the feature levels that the newer group
    protocol and transactions need.
    """
    unfinished = data / f"{LOGS}.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    _write_properties(data / SETTINGS, {**settings, "log.dirs": unfinished.name})
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    done = subprocess.run(  # noqa: S603 - our own words and paths, no shell
        [*java_command, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", SETTINGS],
        cwd=data,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Fatal(f"Kafka's storage could not be formatted: {telling_line(done.stderr, _TELLING)}")
    unfinished.rename(data / LOGS)


def _write_properties(file: Path, settings: Mapping[str, str]) -> None:
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def _has_leaders(admin: AdminClient, topic: str) -> bool:
    partitions = admin.list_topics(topic, timeout=10).topics[topic].partitions.values()
    return bool(partitions) and all(partition.leader >= 0 for partition in partitions)
