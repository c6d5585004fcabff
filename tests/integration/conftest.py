"""Services of a test's own, which it may kill and restart."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from orderkeep.embedded import KafkaServer
from tests.conftest import Database
from tests.service import Service

QUICK_GROUP = {"session.timeout.ms": 2000, "heartbeat.interval.ms": 500}
"""A killed member of a group is missed after two seconds, instead of 45."""

MakeService = Callable[..., Service]


@pytest.fixture
def make_service(kafka: KafkaServer, topic: str, database: Database, tmp_path: Path) -> Iterator[MakeService]:
    """Make a service over this test's topic and database, not started; it is stopped at the end.

    Arguments are those of `Service`; `options` are Kafka's.
    """
    with ExitStack() as cleanup:

        def make(*, options: dict[str, Any] | None = None, **changes: Any) -> Service:
            given = {
                "brokers": kafka.bootstrap,
                "topic": topic,
                "database_url": database.ingest_url,
                "read_url": database.reader_url,
                **changes,
            }
            kafka_options = json.dumps(QUICK_GROUP if options is None else options)
            given["env"] = {"ORDERKEEP_KAFKA_OPTIONS": kafka_options, **given.get("env", {})}
            made = Service(tmp_path, **given)
            cleanup.callback(made.stop)
            return made

        yield make


@pytest.fixture
def own_service(make_service: MakeService) -> Service:
    """A service over this test's topic and database, with nothing running yet."""
    return make_service()
