"""What is restarted in turn, and how: each returns when the part is whole again."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from orderkeep.embedded.kafka_cluster import KafkaNode
from tests.cluster.nginx import NginxServer
from tests.cluster.processes import Processes, restart_api, restart_ingest
from tests.cluster.servers import Servers


class Restart(NamedTuple):
    part: str
    how: str
    act: Callable[[], None]


def rolling(servers: Servers, processes: Processes, nginx: NginxServer) -> Iterator[Restart]:
    """Each part once, in the order of an upgrade: the servers first, then the program."""
    for number, node in enumerate(servers.kafka.nodes, 1):
        yield Restart(f"broker {number}", "stopped, started, in sync", partial(_broker, servers, node))
    yield Restart("standby", "stopped, started, synchronous", partial(_standby, servers))
    yield Restart("primary", "stopped; standby promoted; made its standby", partial(_switchover, servers))
    yield Restart("primary", "killed; standby promoted; made its standby", partial(_failover, servers))
    yield Restart("Valkey", "stopped, started, empty", partial(_redis, servers))
    for process in processes.ingest:
        yield Restart(process.name, "SIGTERM, started, has partitions", partial(restart_ingest, process))
    for process in processes.api:
        yield Restart(process.name, "SIGTERM, started, cache restored", partial(restart_api, process))
    yield Restart("nginx", "reloaded", nginx.reload)


def _broker(servers: Servers, node: KafkaNode) -> None:
    node.stop()
    node.start()
    servers.wait_in_sync()


def _standby(servers: Servers) -> None:
    servers.standby.stop()
    servers.standby.start()
    servers.wait_for_standby()


def _switchover(servers: Servers) -> None:
    servers.primary.stop()
    servers.swap()
    servers.make_standby()


def _failover(servers: Servers) -> None:
    servers.primary.kill()
    servers.swap()
    servers.make_standby()


def _redis(servers: Servers) -> None:
    servers.redis.stop()
    servers.redis.start()
