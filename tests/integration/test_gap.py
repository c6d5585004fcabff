"""Messages that the broker deleted before they were stored: never passed over in silence."""

from confluent_kafka import TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it is re-exported without saying so
    AdminClient,
    OffsetSpec,
)

from orderkeep.embedded import KafkaServer
from tests.conftest import Database
from tests.orders import order
from tests.service import Service


def test_gap(own_service: Service, kafka: KafkaServer, database: Database) -> None:
    """Ingest stops and says how many are gone; told to accept it, it records the gap and goes on."""
    own_service.start()
    own_service.publish([order("in-any-partition")])
    own_service.wait_until_acknowledged()
    assert own_service.ingest.stop() == 0
    own_service.send([order(f"gone-{number}") for number in range(5)], partition=0)
    own_service.send([order("left")], partition=0)
    start = delete_all_but_the_last(kafka, own_service.topic)

    own_service.ingest.launch()
    assert own_service.ingest.wait() == 2
    message = own_service.ingest.output()
    assert "5 messages were deleted before they were stored" in message
    assert "`orderkeep ingest --accept-gap`" in message

    own_service.ingest.arguments.append("--accept-gap")
    own_service.start_ingest()
    own_service.publish([order("next")])
    own_service.wait_until_acknowledged()
    assert own_service.ingest.events("gap_accepted")[0]["next"] == start
    gaps = database.fetch("select partition, first_position, next_position from gaps")
    assert [tuple(gap) for gap in gaps] == [(0, start - 5, start)]
    report = own_service.audit()
    assert (report["exit_code"], report["missing"]) == (0, 0), report
    assert any("at most 5 messages" in sentence for sentence in report["unseen"]), report

    # Once: the next start knows where it is.
    own_service.ingest.arguments.pop()
    assert own_service.ingest.stop() == 0
    own_service.start_ingest()
    own_service.publish([order("last")])


def delete_all_but_the_last(kafka: KafkaServer, topic: str) -> int:
    """Delete all messages of partition 0 but the last: the offset where it begins now."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    place = TopicPartition(topic, 0)
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    end = next(iter(admin.list_offsets({place: latest}).values())).result().offset
    next(iter(admin.delete_records([TopicPartition(topic, 0, end - 1)]).values())).result()
    return int(end) - 1
