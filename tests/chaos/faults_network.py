"""Faults of the network between the service and its servers: cut, stalled, slow, reset, losing answers."""

import random
from collections.abc import Iterable, Iterator

from tests.chaos.fault import fault
from tests.chaos.proxy import Proxy
from tests.chaos.scene import Scene

COMMIT = b"Q\x00\x00\x00\x0bcommit\x00"
"""As the writers send it: a simple query (PostgreSQL, message formats)."""
SLOW = (100_000.0, 400_000.0)
"""Bytes a second: about a tenth of what the stream needs, and a little less than it needs."""
EVERY_SECONDS = (0.3, 1.5)


@fault("Kafka cut off from ingest", part="network")
def kafka_cut(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """Connections of ingest to all brokers are reset, new ones refused."""
    for link in scene.links.ingest_kafka:
        link.cut()
    yield
    _heal(scene.links.ingest_kafka)


@fault("Kafka's network stalled for ingest", part="network", hold=(1.0, 8.0))
def kafka_stalled(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """Connections between ingest and all brokers stay open, and nothing passes: a dead route."""
    for link in scene.links.ingest_kafka:
        link.stall()
    yield
    _heal(scene.links.ingest_kafka)


@fault("Kafka's network slow for ingest", part="network", hold=(2.0, 6.0))
def kafka_slow(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Ingest gets less from each broker than the stream brings."""
    for link in scene.links.ingest_kafka:
        link.limit(dice.uniform(*SLOW))
    yield
    _heal(scene.links.ingest_kafka)


@fault("Kafka's connections flapping", part="network", hold=(2.0, 6.0))
def kafka_flapping(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Connections of ingest to the brokers are reset again and again."""
    for link in scene.links.ingest_kafka:
        link.flap(dice.uniform(*EVERY_SECONDS))
    yield
    _heal(scene.links.ingest_kafka)


@fault("answers of Kafka lost", part="network", hold=(1.0, 4.0))
def kafka_answers_lost(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """What ingest asks of the brokers arrives, offset commits too; no answer comes, then a reset."""
    for link in scene.links.ingest_kafka:
        link.swallow_answers()
    yield
    _heal(scene.links.ingest_kafka)


@fault("one broker cut off from ingest", part="network", hold=(1.0, 8.0))
def broker_cut(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Ingest cannot reach one broker, which the other brokers and the publisher can."""
    link = dice.choice(scene.links.ingest_kafka)
    link.cut()
    yield
    link.heal()


@fault("one broker's network stalled for ingest", part="network", hold=(1.0, 8.0))
def broker_stalled(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Between ingest and one broker nothing passes, on connections that stay open."""
    link = dice.choice(scene.links.ingest_kafka)
    link.stall()
    yield
    link.heal()


@fault("PostgreSQL cut off from ingest", part="network")
def ingest_postgres_cut(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """Connections of ingest to PostgreSQL are reset, new ones refused."""
    for link in scene.links.ingest_postgres:
        link.cut()
    yield
    _heal(scene.links.ingest_postgres)


@fault("PostgreSQL's network stalled for ingest", part="network", hold=(1.0, 8.0))
def ingest_postgres_stalled(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """Connections between ingest and PostgreSQL stay open, and nothing passes, in the middle of a batch."""
    for link in scene.links.ingest_postgres:
        link.stall()
    yield
    _heal(scene.links.ingest_postgres)


@fault("PostgreSQL's network stalled for ingest, then cut", part="network", hold=(1.0, 8.0))
def ingest_postgres_stalled_and_cut(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """What was on its way to PostgreSQL is lost: nothing passed, and then all connections are reset."""
    for link in scene.links.ingest_postgres:
        link.stall()
    yield
    for link in scene.links.ingest_postgres:
        link.cut()
    _heal(scene.links.ingest_postgres)


@fault("PostgreSQL's network slow for ingest", part="network", hold=(2.0, 6.0))
def ingest_postgres_slow(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Ingest can write less than the stream brings."""
    for link in scene.links.ingest_postgres:
        link.limit(dice.uniform(*SLOW))
    yield
    _heal(scene.links.ingest_postgres)


@fault("PostgreSQL's connections of ingest flapping", part="network", hold=(2.0, 6.0))
def ingest_postgres_flapping(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Connections of ingest to PostgreSQL are reset again and again, wherever a batch is."""
    for link in scene.links.ingest_postgres:
        link.flap(dice.uniform(*EVERY_SECONDS))
    yield
    _heal(scene.links.ingest_postgres)


@fault("cut at COMMIT", part="network", hold=(2.0, 6.0))
def cut_at_commit(scene: Scene, dice: random.Random) -> Iterator[None]:
    """COMMIT arrives and is done, and the connection is reset before ingest hears of it."""
    every = dice.randint(1, 4)
    for link in scene.links.ingest_postgres:
        link.lose_answers_to(COMMIT, every=every)
    yield
    _heal(scene.links.ingest_postgres)


@fault("answers of PostgreSQL to ingest lost", part="network", hold=(1.0, 4.0))
def ingest_postgres_answers_lost(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """What ingest writes arrives, and no answer comes; then all connections are reset."""
    for link in scene.links.ingest_postgres:
        link.swallow_answers()
    yield
    _heal(scene.links.ingest_postgres)


@fault("PostgreSQL cut off from the API", part="network")
def api_postgres_cut(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """Connections of the API to PostgreSQL are reset, new ones refused: it serves what it has."""
    for link in scene.links.api_postgres:
        link.cut()
    yield
    _heal(scene.links.api_postgres)


@fault("PostgreSQL's network stalled for the API", part="network", hold=(1.0, 8.0))
def api_postgres_stalled(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """Connections between the API and PostgreSQL stay open, and nothing passes, notifications neither."""
    for link in scene.links.api_postgres:
        link.stall()
    yield
    _heal(scene.links.api_postgres)


@fault("PostgreSQL's network slow for the API", part="network", hold=(2.0, 6.0))
def api_postgres_slow(scene: Scene, dice: random.Random) -> Iterator[None]:
    """The API can follow and read less than is stored."""
    for link in scene.links.api_postgres:
        link.limit(dice.uniform(*SLOW))
    yield
    _heal(scene.links.api_postgres)


@fault("PostgreSQL's connections of the API flapping", part="network", hold=(2.0, 6.0))
def api_postgres_flapping(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Connections of the API to PostgreSQL are reset again and again: it starts to follow anew each time."""
    for link in scene.links.api_postgres:
        link.flap(dice.uniform(*EVERY_SECONDS))
    yield
    _heal(scene.links.api_postgres)


@fault("the service alone", part="network")
def everything_cut(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """The service reaches neither Kafka nor PostgreSQL, and everything comes back at once."""
    for link in scene.links.all():
        link.cut()
    yield
    _heal(scene.links.all())


def _heal(links: Iterable[Proxy]) -> None:
    for link in links:
        link.heal()
