"""The bench measures what it says it does: its counts agree, and its figures are where they are promised."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from orderkeep.bench import run_bench
from orderkeep.bench.rows import COPY_CONNECTIONS, PARTITIONS, ROWS_A_TRANSACTION
from orderkeep.embedded import KafkaServer, PostgresServer
from orderkeep.errors import ConfigurationError

ORDERS = 3_000
SECONDS = 150


def bench(what: str, folder: Path) -> dict[str, Any]:
    """The report of `orderkeep bench` with a few orders, as it was written to --output."""
    output = folder / "bench.json"
    (folder / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "orderkeep", "bench", what, "--orders", str(ORDERS), "--output", str(output)],
        cwd=folder,
        # What a developer has set must not reach the programs that are measured.
        env={**os.environ, "TMPDIR": str(folder / "tmp"), "ORDERKEEP_DATABASE_URL": "postgresql://nowhere:1/x"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{ORDERS:,} orders" in done.stdout
    assert list((folder / "tmp").glob("orderkeep-bench-*")) == [], "its folder is left behind"
    report: dict[str, Any] = json.loads(output.read_text())
    assert report["orders"] == ORDERS
    assert report["skipped"] == {}
    assert {"cores", "cpu", "memory_bytes", "python", "postgresql", "kafka", "librdkafka"} <= set(report["machine"])
    return report


@pytest.fixture
def folder() -> Path:
    """A folder that every user can enter."""
    with tempfile.TemporaryDirectory(prefix="orderkeep-test-") as path:
        Path(path).chmod(0o755)
        yield Path(path)
