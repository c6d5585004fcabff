"""What an order costs in bytes: in the topic, the table, each index and the log of PostgreSQL.

`python -m tests.cluster.costs`: orders are published and stored by `orderkeep ingest`, on real servers. A
few more are then stored right after a checkpoint, when each page that is touched is logged whole: with random
uids and a table that is large, that is what every order costs.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from orderkeep.embedded import KafkaServer, PostgresServer, remove
from orderkeep.storage.migrate import migrate
from tests.cluster.servers import DATABASE, TOPIC
from tests.conftest import INGEST, OWNER, PASSWORD, READER
from tests.service import Service

PARTITIONS = 4
AFTER_CHECKPOINT = 500
COMPRESSIONS = ("off", "pglz")
_SIZES = """
    select relname as name,
           pg_relation_size(oid) + coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0) as bytes
    from pg_class
    where oid = 'orders'::regclass
       or oid in (select indexrelid from pg_index where indrelid = 'orders'::regclass)
"""


def main() -> int:
    """Prints one object; figures are bytes an order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=300_000, help="to store (default: 300,000)")
    orders = parser.parse_args().orders
    with tempfile.TemporaryDirectory(prefix="orderkeep-costs-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            found = _measure(folder, orders)
        finally:
            for data in (folder / "postgres", folder / "kafka"):
                remove(data)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0


def _measure(folder: Path, orders: int) -> dict[str, Any]:
    settings = {"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "1h"}
    with (
        PostgresServer(folder / "postgres", settings=settings) as server,
        KafkaServer(folder / "kafka") as kafka,
    ):
        service = _service(folder, server, kafka)
        service.start_ingest()
        try:
            logged = _stored(service, server, orders)
            sizes = _sizes(server)
            whole_pages = {}
            for compression in COMPRESSIONS:
                server.configure(wal_compression=compression)
                server.execute("checkpoint")
                whole_pages[compression] = round(_stored(service, server, AFTER_CHECKPOINT))
        finally:
            service.stop()
        segments = sum(file.stat().st_size for file in kafka.data.rglob(f"{TOPIC}-*/*.log"))
        sent = orders + AFTER_CHECKPOINT * len(COMPRESSIONS)
    return {
        "orders": orders,
        "topic": round(segments / sent),
        "table_and_indexes": {name: round(size / orders, 1) for name, size in sizes.items()},
        "log": round(logged),
        "log_after_checkpoint": whole_pages,
    }


def _service(folder: Path, server: PostgresServer, kafka: KafkaServer) -> Service:
    server.create_user(OWNER, PASSWORD, createrole=True)
    server.create_database(DATABASE, OWNER)
    asyncio.run(migrate(server.url(OWNER, database=DATABASE)))
    server.create_user(INGEST, PASSWORD, in_role="orderkeep_ingest")
    server.create_user(READER, PASSWORD, in_role="orderkeep_reader")
    kafka.create_topic(TOPIC, PARTITIONS)
    return Service(
        folder,
        brokers=kafka.bootstrap,
        topic=TOPIC,
        database_url=server.url(INGEST, database=DATABASE),
        read_url=server.url(READER, database=DATABASE),
    )


def _stored(service: Service, server: PostgresServer, orders: int) -> float:
    """Publish so many and wait until they are stored: bytes of PostgreSQL's log for each."""
    before = server.value("select pg_current_wal_insert_lsn() - '0/0'")
    done = service.command("publish", "--count", str(orders))
    assert done.returncode == 0, done.stderr
    service.wait_until_acknowledged()
    return float(server.value("select pg_current_wal_insert_lsn() - '0/0'") - before) / orders


def _sizes(server: PostgresServer) -> dict[str, int]:
    """Bytes of the table, with what is kept beside it, and of each of its indexes."""
    found = server.value(f"select json_object_agg(name, bytes) from ({_SIZES}) as sizes", DATABASE)
    sizes: dict[str, int] = json.loads(found)
    return sizes


if __name__ == "__main__":
    sys.exit(main())
