"""Topics made, grown and deleted by an admin client; each call blocks until it is done.

All raise confluent_kafka.KafkaException when the brokers refuse or do not answer.
"""

import time
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

_ANSWER_SECONDS = 10


def create(
    admin: AdminClient, name: str, partitions: int, replication: int, config: Mapping[str, str]
) -> None:
    """Make a topic and wait until its partitions can be written; one that is there stays as it is."""
    topic = NewTopic(name, num_partitions=partitions, replication_factor=replication, config=dict(config))
    try:
        admin.create_topics([topic])[name].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    _wait_for_leaders(admin, name, 1)


def grow(admin: AdminClient, name: str, partitions: int) -> None:
    """Give a topic so many partitions in all, and wait until they can be written."""
    admin.create_partitions([NewPartitions(name, partitions)])[name].result()
    _wait_for_leaders(admin, name, partitions)


def delete(admin: AdminClient, name: str) -> None:
    """Delete a topic and its messages; nothing happens when there is none."""
    try:
        admin.delete_topics([name])[name].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise


def leaders(admin: AdminClient, name: str) -> dict[int, int]:
    """The number of the node that leads each partition, -1 for none; empty when there is no such topic."""
    partitions = admin.list_topics(name, timeout=_ANSWER_SECONDS).topics[name].partitions
    return {number: partition.leader for number, partition in partitions.items()}


def _wait_for_leaders(admin: AdminClient, name: str, partitions: int) -> None:
    while len(found := leaders(admin, name)) < partitions or -1 in found.values():
        time.sleep(0.02)
