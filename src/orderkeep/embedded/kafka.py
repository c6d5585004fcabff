"""Apache Kafka as a child process: one node, broker and controller in one (KRaft)."""

import base64
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from orderkeep.errors import Fatal

from . import kafka_topics, ports, quick_start
from .java import java, kafka_class_path
from .process import Child, end_leftovers, telling_line
from .server import Server, silent

SETTINGS = "server.properties"
LOGS = "logs"
"""Both within the data folder, where the server runs: a path of any alphabet need not be told to Java."""
_NO_GROUP = "orderkeep-start"
"""Asked about at start, so that the coordinator of groups is known to be at work; nobody is in it."""
_AFTER_A_CRASH = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}
"""A node that starts is refused until the session of its last life has ended, 9 seconds by default.

Not shorter than needed: a node stalled or paused for longer than its session is out of the cluster for a
moment, and clients that ask just then find no broker and may wait for a minute (librdkafka).
"""
_JAVA_OPTIONS = (
    *("-XX:+UseSerialGC", "-Djava.awt.headless=true"),
    # The JVM's shared file of counters is in a world-writable folder, and nobody reads it.
    "-XX:-UsePerfData",
    *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"),
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)


class KafkaServer(Server):
    """A single Kafka node in `data`, served in plain text on the loopback address while started.

    Topics keep every message, are not made by asking for them, and a consumer group is formed without delay.
    """

    name = "Apache Kafka"
    telling = ("ERROR", "FATAL", "Exception", "Error:", "cannot")

    def __init__(self, data: Path, *, port: int | None = None, say: Callable[[str], None] = silent) -> None:
        """With `port` None, `start` chooses a free one, and keeps it for later starts of this object."""
        super().__init__(data, "kafka.log", port, say)
        self.replication = 1
        self.java_options: list[str] = ["-Xms256m", "-Xmx512m"]
        self._controller_port = 0
        self._cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    @property
    def bootstrap(self) -> str:
        """What a client needs as bootstrap.servers."""
        return f"{self.host}:{self.port}"

    def _launch(self) -> Child:
        java_command = self.java_command()
        end_leftovers(self.data, signal.SIGTERM)
        self._choose_ports()
        settings = self._settings()
        if not (self.data / LOGS).exists():
            self._say("making Apache Kafka's storage")
            _format(java_command, settings, self.data, self._cluster_id)
        _write_properties(self.data / SETTINGS, settings)
        self._say(f"starting Apache Kafka on port {self.port}")
        return Child(
            [*java_command, "kafka.Kafka", SETTINGS],
            log=self.log,
            on_death=signal.SIGTERM,
            folder=self.data,
            env=self.env,
        )

    def java_command(self) -> list[str]:
        """Java with the options and the classes of Kafka; what is to be run comes behind it."""
        program, class_path = str(java()), ":".join(map(str, kafka_class_path(self._say)))
        return [program, *self.java_options, *quick_start.options(), *_JAVA_OPTIONS, "-cp", class_path]

    def _choose_ports(self) -> None:
        self.port = ports.choose(self.port or None, self.name)
        self._controller_port = ports.choose(None, self.name, besides=[self.port])

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
            **(_AFTER_A_CRASH if _has_crashed(self.data) else {}),
        }

    def _is_ready(self) -> bool:
        """Whether it serves clients, and groups of them.

        Groups too, because a consumer that meets a coordinator still loading waits three seconds
        (librdkafka), which is longer than the start.
        """
        if not ports.accepts(self.port):
            return False
        admin = self._admin()
        try:
            admin.list_topics(timeout=1)
            admin.describe_consumer_groups([_NO_GROUP], request_timeout=5)[_NO_GROUP].result()
        except KafkaException as error:
            return bool(error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND)
        return True

    def stop(self) -> None:
        """Shut down in order and wait; what does not end within 20 seconds is killed."""
        if self._child:
            self._child.stop((signal.SIGTERM, 20.0))
        self._let_go()

    def create_topic(self, name: str, partitions: int = 4, config: Mapping[str, str] | None = None) -> None:
        """Make a topic and wait until its partitions can be written; one that is there stays as it is.

        Raises confluent_kafka.KafkaException when the broker refuses it.
        """
        kafka_topics.create(self._admin(), name, partitions, self.replication, config or {})

    def delete_topic(self, name: str) -> None:
        """Delete a topic and its messages; nothing happens when there is none."""
        kafka_topics.delete(self._admin(), name)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})


def _format(java_command: list[str], settings: Mapping[str, str], data: Path, cluster: str) -> None:
    """Make the folder of a new node, complete or not at all.

    Without Kafka's own tool the node would start too, but without the feature levels that the newer group
    protocol and transactions need.
    """
    unfinished = data / f"{LOGS}.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    _write_properties(data / SETTINGS, {**settings, "log.dirs": unfinished.name})
    done = subprocess.run(
        [*java_command, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", SETTINGS],
        cwd=data,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Fatal(
            f"Kafka's storage could not be formatted: {telling_line(done.stderr, KafkaServer.telling)}"
        )
    unfinished.rename(data / LOGS)


def _has_crashed(data: Path) -> bool:
    """A node in service has a log and no mark of a clean shutdown, which it deletes when it starts."""
    return (data / LOGS).exists() and not (data / LOGS / ".kafka_cleanshutdown").exists()


def _write_properties(file: Path, settings: Mapping[str, str]) -> None:
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
