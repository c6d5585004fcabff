"""A cluster of Apache Kafka: nodes that are broker and controller each, every message on all of them."""

import base64
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import ElectionType, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from orderkeep.errors import ServerUnavailable

from . import kafka_topics, ports, quick_start
from .kafka import LOGS, KafkaServer
from .kafka_reassign import reassign
from .place import Claim
from .server import silent

_JAVA_OPTIONS = ("-Xms128m", "-Xmx300m", "-XX:TieredStopAtLevel=1")
_LEADER_PATIENCE = 30.0
"""Seconds in which a partition, or the cluster, gets a leader while two of three nodes are there."""
_NOT_MOVED = frozenset({KafkaError.ELECTION_NOT_NEEDED, KafkaError.PREFERRED_LEADER_NOT_AVAILABLE})


class Member(NamedTuple):
    """What a node is known by to the others and to clients. Its ports stay, so that it can come back."""

    number: int
    port: int
    controller_port: int
    service_port: int
    advertised_port: int
    """Clients that come by `service_port` are told to come by this one: a proxy's, or the same."""


class KafkaNode(KafkaServer):
    """One of a cluster: to be started, stopped, killed and paused alone.

    `start` returns when the node serves clients, for which more than half of the nodes have to run.
    """

    def __init__(
        self,
        data: Path,
        me: Member,
        members: Sequence[Member],
        cluster_id: str,
        say: Callable[[str], None] = silent,
    ) -> None:
        super().__init__(data, port=me.port, say=say)
        self.java_options = list(_JAVA_OPTIONS)
        self.number, self.service_port = me.number, me.service_port
        self.service_bootstrap = f"{self.host}:{me.advertised_port}"
        self.replication = min(3, len(members))
        self._controller_port, self._members, self._cluster_id = me.controller_port, members, cluster_id

    def _choose_ports(self) -> None:
        for port in (self.port, self._controller_port, self.service_port):
            ports.choose(port, self.name)

    def _settings(self) -> dict[str, str]:
        controller = f"CONTROLLER://{self.host}:{self._controller_port}"
        copies, enough = str(self.replication), str(min(2, self.replication))
        return {
            **super()._settings(),
            "node.id": str(self.number),
            "controller.quorum.voters": ",".join(
                f"{member.number}@{self.host}:{member.controller_port}" for member in self._members
            ),
            "listeners": f"PLAINTEXT://{self.bootstrap},SERVICE://{self.host}:{self.service_port},{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap},SERVICE://{self.service_bootstrap}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SERVICE:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "default.replication.factor": copies,
            "min.insync.replicas": enough,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": enough,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": enough,
            # A node that is gone is missed after 3 seconds. Not sooner: when all stand still for longer than
            # this, clients may be told that there is no broker at all.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "replica.lag.time.max.ms": "3000",
        }

    def _is_ready(self) -> bool:
        """Whether it serves clients and groups, and the cluster has taken it in."""
        if not super()._is_ready():
            return False
        with suppress(KafkaException):
            return self.number in self._admin().list_topics(timeout=1).brokers
        return False

    def quorum(self) -> tuple[int, int]:
        """The epoch and the number of the controller that this node knows of, (-1, -1) without any.

        From the file in which it keeps them: brokers tell clients any broker for the controller.
        """
        with suppress(OSError, ValueError):
            state = json.loads((self.data / LOGS / "__cluster_metadata-0" / "quorum-state").read_text())
            return int(state["leaderEpoch"]), int(state["leaderId"])
        return -1, -1


class KafkaCluster:
    """Nodes in folders of `data`, on loopback; each message on three, acknowledged when two have it.

    Clients come by `bootstrap`. By `service_bootstrap` they come through ports of the caller's choice, of
    proxies: `through` is given the port of each node once, and returns the one that leads there.
    """

    def __init__(
        self,
        data: Path,
        *,
        nodes: int = 3,
        through: Callable[[int], int] | None = None,
        say: Callable[[str], None] = silent,
    ) -> None:
        self.data = Path(data).absolute()
        self._claim: Claim | None = None
        members = _choose_members(nodes, through or (lambda port: port))
        self.nodes = [
            KafkaNode(self.data / f"node-{member.number}", member, members, _cluster_id(self.data), say)
            for member in members
        ]
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    @property
    def bootstrap(self) -> str:
        """What a client needs as bootstrap.servers, whichever nodes run."""
        return ",".join(node.bootstrap for node in self.nodes)

    @property
    def service_bootstrap(self) -> str:
        """The same through the ports that `through` gave."""
        return ",".join(node.service_bootstrap for node in self.nodes)

    def start(self) -> None:
        """Start the nodes that do not run, all at once; returns when all serve. Raises as a server does."""
        if self._claim is None:
            self._claim = Claim(self.data)
        try:
            quick_start.make(self.nodes[0].java_command(), _run_once)
            self._each(KafkaNode.start)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Shut down every node in order and wait."""
        self._each(KafkaNode.stop)
        self._let_go()

    def kill(self) -> None:
        """SIGKILL to every node: a crash of all."""
        self._each(KafkaNode.kill)
        self._let_go()

    def pause(self) -> None:
        """SIGSTOP to every node that runs."""
        for node in self._running():
            node.pause()

    def resume(self) -> None:
        """SIGCONT to every node that runs."""
        for node in self._running():
            node.resume()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def create_topic(self, name: str, partitions: int = 4, config: Mapping[str, str] | None = None) -> None:
        """Make a topic and wait until its partitions can be written; one that is there stays as it is.

        This and the next two raise confluent_kafka.KafkaException when the brokers refuse it.
        """
        kafka_topics.create(self._admin, name, partitions, self.nodes[0].replication, config or {})

    def add_partitions(self, name: str, partitions: int) -> None:
        """Give a topic so many partitions in all, and wait until they can be written."""
        kafka_topics.grow(self._admin, name, partitions)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and its messages; nothing happens when there is none."""
        kafka_topics.delete(self._admin, name)

    def leader(self, topic: str, partition: int) -> KafkaNode:
        """The node that leads the partition now; waits for there to be one, or `ServerUnavailable`."""
        return self._wait_for(
            lambda: kafka_topics.leaders(self._admin, topic).get(partition, -1),
            f"partition {partition} of {topic} has no leader",
        )

    def controller(self) -> KafkaNode:
        """The node that leads the controllers now; waits for there to be one, or `ServerUnavailable`."""
        return self._wait_for(self._controller, "the cluster has no controller")

    def move_leaders(self, topic: str) -> None:
        """Let another node that has all the messages lead each partition, where there is one.

        For `__consumer_offsets` that moves the coordinators of groups.
        """
        partitions = self._admin.list_topics(topic, timeout=10).topics[topic].partitions
        orders = {
            number: _led_by_the_next(partition.replicas, partition.isrs, partition.leader)
            for number, partition in partitions.items()
        }
        asked = self._running()[0]
        reassign(asked.host, asked.port, topic, orders)
        chosen = [TopicPartition(topic, number) for number in orders]
        answers = self._admin.elect_leaders(ElectionType.PREFERRED, chosen).result()
        for error in answers.values():
            if error is not None and error.args[0].code() not in _NOT_MOVED:
                raise error

    def _controller(self) -> int:
        """Its number, or -1 while the one elected last does not run: the others may not know yet."""
        known = {node.number: node.quorum() for node in self._running()}
        newest = max(known.values(), default=(-1, -1))
        _epoch, number = newest
        return number if known.get(number) == newest else -1

    def _wait_for(self, find: Callable[[], int], problem: str) -> KafkaNode:
        deadline = time.monotonic() + _LEADER_PATIENCE
        while True:
            with suppress(KafkaException):
                number = find()
                if number > 0:
                    return self.nodes[number - 1]
            if time.monotonic() > deadline:
                raise ServerUnavailable(f"Apache Kafka: {problem} within {_LEADER_PATIENCE:.0f} seconds")
            time.sleep(0.05)

    def _running(self) -> list[KafkaNode]:
        return [node for node in self.nodes if node.pid]

    def _each(self, act: Callable[[KafkaNode], None]) -> None:
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(act, self.nodes))

    def _let_go(self) -> None:
        if self._claim:
            self._claim.release()
            self._claim = None


def _choose_members(count: int, through: Callable[[int], int]) -> list[Member]:
    taken: list[int] = []
    for _ in range(3 * count):
        taken.append(ports.choose(None, KafkaNode.name, besides=taken))
    chosen = zip(taken[::3], taken[1::3], taken[2::3], strict=True)
    return [Member(number, *three, through(three[-1])) for number, three in enumerate(chosen, 1)]


def _run_once(folder: Path, options: list[str]) -> None:
    server = KafkaServer(folder)
    server.java_options = [*_JAVA_OPTIONS, *options]
    with server:
        server.create_topic("one", partitions=1)


def _cluster_id(data: Path) -> str:
    """What makes the nodes of one folder know each other: the same at every start, also of a new node."""
    identity = uuid.uuid5(uuid.NAMESPACE_URL, data.as_uri())
    return base64.urlsafe_b64encode(identity.bytes).decode().rstrip("=")


def _led_by_the_next(replicas: Sequence[int], in_sync: Sequence[int], leader: int) -> list[int]:
    """The replicas in turn, from the first after the leader that is in sync."""
    place = replicas.index(leader) if leader in replicas else 0
    turned = [*replicas[place + 1 :], *replicas[: place + 1]]
    first = next((node for node in turned if node in in_sync), leader)
    start = turned.index(first) if first in turned else 0
    return [*turned[start:], *turned[:start]]
