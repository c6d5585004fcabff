"""Faults of the brokers: killed, frozen, restarted, leaders moved; and of the topic: made again, grown."""

import random
from collections.abc import Iterator

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from orderkeep.embedded.kafka_cluster import KafkaNode
from tests.chaos.fault import fault
from tests.chaos.scene import Scene

COORDINATOR = "__consumer_offsets"
"""Whoever leads its only partition coordinates all groups."""
ALL_MUST_WORK = frozenset({"ingest", "api", "postgres", "kafka", "network", "disk", "clock", "load"})
"""Beside faults that wait until all is acknowledged, nothing else may be broken."""
MOVES = (0.3, 2.0)
"""Seconds between one move of leaders and the next."""


@fault("broker killed", part="kafka", hold=(0.5, 8.0))
def broker_killed(scene: Scene, dice: random.Random) -> Iterator[None]:
    """SIGKILL to the leader of a partition; another leads until it is back, and the rest of the time."""
    yield from _killed(_leader(scene, dice))


@fault("broker frozen", part="kafka", hold=(1.0, 10.0))
def broker_frozen(scene: Scene, dice: random.Random) -> Iterator[None]:
    """SIGSTOP to the leader of a partition: its connections stay open while another takes over."""
    node = _leader(scene, dice)
    node.pause()
    yield
    node.resume()


@fault("broker restarted", part="kafka", hold=(0.0, 3.0))
def broker_restarted(scene: Scene, dice: random.Random) -> Iterator[None]:
    """The leader of a partition is shut down in order, hands over its partitions, and comes back."""
    node = _leader(scene, dice)
    node.stop()
    yield
    node.start()


@fault("coordinator killed", part="kafka", hold=(0.5, 8.0))
def coordinator_killed(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGKILL to the broker that coordinates the group and keeps its offsets."""
    yield from _killed(scene.kafka.leader(COORDINATOR, 0))


@fault("controller killed", part="kafka", hold=(0.5, 8.0))
def controller_killed(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGKILL to the node that leads the controllers: who leads a partition cannot change for a moment."""
    yield from _killed(scene.kafka.controller())


@fault("controller frozen", part="kafka", hold=(1.0, 8.0))
def controller_frozen(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGSTOP to the node that leads the controllers; it wakes up deposed."""
    node = scene.kafka.controller()
    node.pause()
    yield
    node.resume()


@fault("two brokers of three killed", part="kafka", hold=(0.5, 6.0))
def majority_killed(scene: Scene, dice: random.Random) -> Iterator[None]:
    """What is left has neither a controller nor enough copies to take a message."""
    for node in dice.sample(scene.kafka.nodes, 2):
        node.kill()
    yield
    scene.kafka.start()


@fault("all brokers killed", part="kafka", hold=(0.0, 5.0))
def all_killed(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGKILL to all at once; they come back together."""
    scene.kafka.kill()
    yield
    scene.kafka.start()


@fault("all brokers stopped", part="kafka", hold=(0.0, 5.0))
def all_stopped(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """The whole cluster is shut down in order and started again."""
    scene.kafka.stop()
    yield
    scene.kafka.start()


@fault("all brokers frozen for a moment", part="kafka", hold=(0.5, 2.0))
def all_frozen_shortly(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGSTOP to all, for less than any session lasts."""
    scene.kafka.pause()
    yield
    scene.kafka.resume()


@fault("all brokers frozen", part="kafka", hold=(4.0, 10.0))
def all_frozen(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGSTOP to all, for longer than the sessions of brokers and of the group's members last."""
    scene.kafka.pause()
    yield
    scene.kafka.resume()


@fault("brokers restarted in turn", part="kafka", hold=(0.0, 0.5))
def rolling_restart(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Each broker is shut down in order and started again under load, as for an upgrade."""
    for node in dice.sample(scene.kafka.nodes, len(scene.kafka.nodes)):
        node.stop()
        node.start()
    yield


@fault("leaders moved", part="kafka", hold=(2.0, 6.0))
def leaders_moved(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Every partition gets another leader, again and again."""
    with scene.meanwhile(lambda: scene.kafka.move_leaders(scene.topic), dice, every=MOVES):
        yield


@fault("coordinator moved", part="kafka", hold=(2.0, 6.0))
def coordinator_moved(scene: Scene, dice: random.Random) -> Iterator[None]:
    """The group gets another coordinator, again and again."""
    with scene.meanwhile(lambda: scene.kafka.move_leaders(COORDINATOR), dice, every=MOVES):
        yield


@fault("partitions added", part="topic", hold=(0.5, 2.0), uses=frozenset({"kafka"}))
def partitions_added(scene: Scene, dice: random.Random) -> Iterator[None]:
    """The topic grows under load; what is in the new partitions from before they were seen counts too."""
    scene.kafka.add_partitions(scene.topic, len(scene.partitions()) + dice.randint(1, 4))
    yield


@fault("topic made again", part="topic", hold=(0.0, 1.0), uses=ALL_MUST_WORK)
def topic_made_again(scene: Scene, dice: random.Random) -> Iterator[None]:
    """All acknowledged, the topic is deleted and made again; its positions begin at 0 once more."""
    with scene.load.standing_still():
        scene.wait_until_acknowledged()
        scene.kafka.delete_topic(scene.topic)
        scene.kafka.create_topic(scene.topic, dice.choice((2, 4, 6)))
        scene.load.begin_again()
    yield


@fault("topic away for a while", part="topic", hold=(1.0, 8.0), uses=ALL_MUST_WORK)
def topic_away(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """All acknowledged, the topic is deleted, and made again later."""
    with scene.load.standing_still():
        scene.wait_until_acknowledged()
        partitions = len(scene.partitions())
        scene.kafka.delete_topic(scene.topic)
        yield
        scene.kafka.create_topic(scene.topic, partitions)
        scene.load.begin_again()


@fault("messages deleted after they were acknowledged", part="topic", hold=(0.0, 1.0), uses=ALL_MUST_WORK)
def records_deleted(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """Retention removes everything that is acknowledged, and nothing else: that harms nobody."""
    with scene.load.standing_still():
        scene.wait_until_acknowledged()
        admin = AdminClient({"bootstrap.servers": scene.kafka.bootstrap, "log_level": 0})
        to_the_end = [TopicPartition(scene.topic, number, -1) for number in scene.partitions()]
        for deleted in admin.delete_records(to_the_end).values():
            deleted.result()
        scene.load.begin_again()
    yield


def _killed(node: KafkaNode) -> Iterator[None]:
    node.kill()
    yield
    node.start()


def _leader(scene: Scene, dice: random.Random) -> KafkaNode:
    return scene.kafka.leader(scene.topic, dice.choice(scene.partitions()))
