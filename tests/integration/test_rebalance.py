"""Several ingest processes share a topic: members come, leave and die under load."""

from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from tests.service import Process, Service

from .conftest import QUICK_GROUP, MakeService
from .load import Load, prove, read_back, status, wait_for_commits

pytestmark = pytest.mark.timeout(150)


def let_dead_members_be_missed_soon(service: Service) -> None:
    """With the newer protocol the broker says how long a session is: 45 seconds, unless it is told."""
    admin = AdminClient({"bootstrap.servers": service.brokers})
    wanted = {"consumer.session.timeout.ms": "2000", "consumer.heartbeat.interval.ms": "500"}
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in wanted.items()
    ]
    resource = ConfigResource(ResourceType.GROUP, service.group, incremental_configs=entries)
    admin.incremental_alter_configs([resource])[resource].result()


@pytest.mark.parametrize(
    "options",
    [
        QUICK_GROUP,
        {**QUICK_GROUP, "partition.assignment.strategy": "range"},
        {"group.protocol": "consumer"},
    ],
    ids=["cooperative", "eager", "consumer protocol"],
)
def test_members_come_and_go(make_service: MakeService, topic: str, options: dict[str, Any]) -> None:
    """A member added, stopped in order, added again and killed under load: each message has one outcome."""
    service = make_service(options=options, group=f"group-of-{topic}")
    if "group.protocol" in options:
        let_dead_members_be_missed_soon(service)
    service.start()
    second, third = service.another_ingest("ingest-2"), service.another_ingest("ingest-3")
    with Load(service) as load:
        join(second)
        wait_for_commits(second)
        wait_for_commits(service.ingest)
        assert second.stop() == 0
        wait_for_commits(service.ingest)
        join(third)
        wait_for_commits(third)
        third.kill()
        wait_for_commits(service.ingest)
        join(second)
        wait_for_commits(second)
        service.ingest.kill()
        wait_for_commits(second)
    prove(service, load)
    read_back(service, load)


def test_orderly_changes_store_nothing_twice(own_service: Service) -> None:
    """A member that leaves in order acknowledges what it stored: the others are given nothing of it."""
    own_service.start_ingest()
    second = own_service.another_ingest("ingest-2")
    with Load(own_service) as load:
        for _ in range(3):
            join(second)
            wait_for_commits(second)
            assert second.stop() == 0
    prove(own_service, load)
    assert status(own_service.ingest)["outcomes"].get("redelivered", 0) == 0


def join(member: Process) -> None:
    member.start()
    member.wait_for("partitions_assigned")
