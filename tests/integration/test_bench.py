"""The bench measures what it says it does: its counts agree, and its figures are where they are promised."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # the package has no types of its own
import pytest
import uvloop

from orderkeep.bench import growth, run_bench, web
from orderkeep.bench.rounds import Display
from orderkeep.bench.rows import messages
from orderkeep.bench.shapes import SHAPES
from orderkeep.errors import ConfigurationError
from orderkeep.order import decode
from tests.conftest import Database

ORDERS = 3_000
PATIENCE = 150.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can enter; `tmp` in it is where the bench makes its own."""
    with tempfile.TemporaryDirectory(prefix="orderkeep-test-") as path:
        Path(path).chmod(0o755)
        Path(path, "tmp").mkdir(mode=0o755)
        yield Path(path)


def start(what: str, folder: Path, *more: str) -> "subprocess.Popen[str]":
    """`orderkeep bench` of a few orders, under a setting of a developer that must not reach ingest."""
    command = [sys.executable, "-m", "orderkeep", "bench", what, "--orders", str(ORDERS), *more]
    return subprocess.Popen(
        [*command, "--output", str(folder / "bench.json")],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp"), "ORDERKEEP_KAFKA_TOPIC": "elsewhere"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def bench(what: str, folder: Path, *more: str) -> dict[str, Any]:
    """Run it to its end: what it found."""
    running = start(what, folder, *more)
    printed, complaints = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, complaints
    assert f"orders: {ORDERS:,}" in printed
    assert_nothing_left(folder)
    report: dict[str, Any] = json.loads((folder / "bench.json").read_text())
    assert (report["skipped"], list(report["results"])) == ({}, [what])
    told = {"cores", "cpu", "memory_bytes", "load", "python", "postgresql", "kafka", "librdkafka"}
    assert told <= set(report["machine"])
    result: dict[str, Any] = report["results"][what]
    assert result["facts"].pop("orders") == ORDERS
    assert_consistent(result["measurements"])
    return result


def assert_consistent(measurements: dict[str, Any]) -> None:
    """Every figure is there, and every ratio is of the medians that are shown."""
    for name, each in measurements.items():
        assert all(figure > 0 for figure in each["rounds"]), name
        assert sorted(each["rounds"])[len(each["rounds"]) // 2] == each["median"]
        limit = each["limit"]
        expected = None if limit is None else each["median"] / measurements[limit]["median"]
        assert each["ratio"] == expected


def assert_nothing_left(folder: Path) -> None:
    assert list((folder / "tmp").iterdir()) == []
    assert [process for process in psutil.process_iter() if works_in(process, folder)] == []


def works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder.resolve())
    except psutil.Error:
        return False


def test_ingest(folder: Path) -> None:
    """Every message of the topics has the outcome it was made for, on a database that is durable."""
    result = bench("ingest", folder)

    measurements = result["measurements"]
    assert {name: len(each["rounds"]) for name, each in measurements.items()} == {
        "copy": 3,
        "ingest": 3,
        "ingest_with_start": 3,
        "ingest_followed": 3,
        "ingest_two": 3,
        "ingest_duplicates": 3,
        "ingest_rejects": 3,
        "ingest_max_rss": 3,
    }
    for whole, part in zip(
        measurements["ingest_with_start"]["rounds"], measurements["ingest"]["rounds"], strict=True
    ):
        assert whole < part, "with the start it takes longer"
    assert result["facts"]["outcomes"] == {
        "clean": {"stored": ORDERS},
        "followed": {"stored": ORDERS},
        "two": {"stored": ORDERS},
        "duplicates": {"stored": ORDERS - ORDERS // 20, "duplicate": ORDERS // 20},
        "rejects": {"stored": ORDERS - ORDERS // 50, "rejected": ORDERS // 50},
    }
    durable = ("fsync", "synchronous_commit", "full_page_writes")
    assert [result["facts"]["postgresql"][name] for name in durable] == ["on", "on", "on"]


def test_latency(folder: Path) -> None:
    """Orders at an even rate are watched until they are served, and percentiles come in their order."""
    rounds = {name: each["rounds"] for name, each in bench("latency", folder)["measurements"].items()}

    assert {name.split("_")[1] for name in rounds} == {"500", "2000"}
    for rate in ("500", "2000"):
        p50, p90, p99 = (rounds[f"latency_{rate}_p{percentile}"] for percentile in (50, 90, 99))
        assert len(p50) == 3
        assert all(low <= middle <= high for low, middle, high in zip(p50, p90, p99, strict=True))


def test_even_rate(folder: Path) -> None:
    """At an even rate every request is made when it is due, and what each took is told."""
    web.require("h2load", "nginx")
    paths = folder / "paths"
    paths.write_text("/orders/a\n/orders/b\n")
    with web.nginx(100, folder) as url:
        taken = web.load_evenly("even", url, paths, 500, 1, folder)
    assert len(taken) <= 600  # that they are not fewer is looked at where they are made
    assert all(milliseconds > 0 for milliseconds in taken)


def test_large_table(database: Database) -> None:
    """The loader makes as many orders as asked, the uids that the bench asks for, and the same indexes."""
    indexes = "select indexdef from pg_indexes where tablename = 'orders' order by indexdef"
    before = database.fetch(indexes)
    count = growth.PORTION + 2

    uvloop.run(growth.fill(database.owner_url, count, Display("growth")))

    assert database.fetch(indexes) == before
    assert database.value("select count(*) from orders") == count
    ends = [growth.uid_of(number) for number in (0, count - 1)]
    rows = database.fetch("select order_uid, payload from orders where order_uid = any($1)", ends)
    assert {row["order_uid"] for row in rows} == set(ends)
    assert {decode(row["payload"].encode()).order_uid for row in rows} == set(ends)


def test_shapes(folder: Path) -> None:
    """Every shape of the table takes the same orders, and has the indexes that it says."""
    result = bench("shapes", folder, "--stored", str(ORDERS))

    measurements = result["measurements"]
    assert {len(measurements[shape]["rounds"]) for shape in SHAPES} == {3}
    size = {shape: measurements[f"{shape}_indexes"]["median"] for shape in SHAPES}
    assert size["key_alone"] < size["no_search"] < size["brin"] < size["as_it_is"] < size["partitions"]
    assert size["as_it_is"] < size["room_in_the_key"]
    assert result["facts"]["stored"] == ORDERS


def test_memory(folder: Path) -> None:
    """The cache that is weighed holds every order, and what it counts is more than the responses."""
    result = bench("memory", folder)

    measurements = result["measurements"]
    assert {name: len(each["rounds"]) for name, each in measurements.items()} == {
        "response": 3,
        "memory": 3,
        "accounted": 3,
    }
    orders = [message.payload or b"" for message in messages(ORDERS + 1)][1:]  # the first is not counted
    assert result["facts"] == {"entries": ORDERS, "payload_bytes": sum(map(len, orders))}
    assert measurements["accounted"]["median"] > measurements["response"]["median"]
    assert measurements["response"]["median"] > sum(map(len, orders)) / ORDERS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(folder: Path, number: signal.Signals) -> None:
    """Interrupted while ingest runs, it ends without a word, and leaves no process and no folder."""
    running = start("ingest", folder)
    deadline = time.monotonic() + PATIENCE
    while not list((folder / "tmp").glob("*/ingest_1_clean.log")):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)

    running.send_signal(number)
    _, complaints = running.communicate(timeout=PATIENCE)

    assert (running.returncode, complaints) == (130, "")
    assert_nothing_left(folder)


def test_refused(folder: Path) -> None:
    """What cannot be measured, or not be written down, is refused in one line before anything is started."""
    with pytest.raises(ConfigurationError, match="--orders is 0"):
        run_bench("memory", orders=0, stored=1, output=None)
    with pytest.raises(ConfigurationError, match="no bench 'speed'"):
        run_bench("speed", orders=1, stored=1, output=None)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        run_bench("memory", orders=1, stored=1, output=folder / "nowhere" / "bench.json")
