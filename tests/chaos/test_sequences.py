"""Short fixed sequences of the fault suite, which `make chaos` runs at random and for long."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderkeep.embedded.server import silent
from orderkeep.errors import Fatal
from tests.chaos import report, result
from tests.chaos.fault import FAULTS
from tests.chaos.faults import all_faults
from tests.chaos.plan import draw_plan, fixed_plan, seeds
from tests.chaos.recovery import GIVEN_UP_SECONDS
from tests.chaos.sequence import Sequence
from tests.chaos.servers import Servers
from tests.requirements import need

MESSAGES, RATE = 4_000, 2_000.0

SEQUENCES = [
    ["ingest killed", "PostgreSQL killed", "poison storm", "API killed"],
    ["broker killed", "PostgreSQL cut off from ingest", "API restarted in order", "flood of duplicates"],
    ["ingest frozen, its partitions move", "notification queue full", "aborted transactions"],
    ["disk full", "PostgreSQL's clock set back", "topic made again"],
]


@pytest.fixture(scope="module")
def servers(servers_folder: Path) -> Iterator[Servers]:
    """The servers of the fault suite, started once for all sequences."""
    made = Servers(servers_folder / "chaos", say=silent)
    try:
        made.start()
    except Fatal as error:
        made.stop()
        need(condition=False, reason=str(error))
    yield made
    made.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("names", SEQUENCES, ids=lambda names: names[0])
def test_nothing_is_lost(servers: Servers, tmp_path: Path, names: list[str]) -> None:
    """Whatever breaks under load, every message has its one outcome, and readers never see anything wrong."""
    kinds = [FAULTS[name] for name in names]
    possible = [kind for kind in kinds if not kind.missing()]
    need(condition=bool(possible), reason="none of the faults can be had here")
    plan = fixed_plan(1, possible)
    sequence = Sequence(
        servers,
        plan,
        tmp_path / "logs",
        number=SEQUENCES.index(names),
        messages=MESSAGES,
        rate=RATE,
        limit=GIVEN_UP_SECONDS,
        stop=threading.Event(),
        tell=silent,
    )

    found = sequence.run()

    assert found.failures == []
    assert (found.lost, found.twice, found.wrong_bytes, found.vanished, found.server_errors) == (
        0,
        0,
        0,
        0,
        0,
    )
    assert all(run.recovery is not None for run in found.faults)


def test_every_part_is_broken() -> None:
    """The fixed sequences have a fault of each part of the world that the suite can break."""
    parts = {FAULTS[name].part for names in SEQUENCES for name in names}

    assert parts == {kind.part for kind in all_faults()}


def test_a_plan_follows_from_its_seed() -> None:
    """The same seed gives the same faults at the same moments, and what overlaps breaks different things."""
    kinds = all_faults()

    for seed, _ in zip(seeds(7), range(200), strict=False):
        plan = draw_plan(seed, kinds)
        assert plan == draw_plan(seed, kinds)
        assert all(kind.sentence for kind in kinds)
    first, second = (list(zip(seeds(7), range(3), strict=False)) for _ in range(2))
    assert first == second
    assert first[0][0] == 7


def test_report(tmp_path: Path) -> None:
    """Of sequences as they were written, the table counts each kind of fault, and the plot shows each run."""
    run = result.FaultRun(name="broker <killed>", part="kafka", start=1.0, end=2.0, recovery=3.5)
    whole = result.SequenceResult(1, 7, "eager", [run], messages=50_000, lost=0, twice=0, reads={"200": 9})
    failed = result.SequenceResult(2, 8, "eager", [run], messages=10, failures=["not healthy"])
    for each in (whole, failed):
        result.append(tmp_path, each)

    report.write(tmp_path, result.read(tmp_path), {"packets lost": "no root"})

    text = (tmp_path / report.TABLE).read_text()
    assert "| broker <killed> | 2 | 50,010 | 0 | 0 | 0 | 3.5 | 3.5 | 3.5 |" in text
    assert "packets lost: no root" in text
    assert "seed 8: not healthy" in text
    svg = (tmp_path / report.PLOT).read_text()
    assert svg.count("<circle") == 2
    assert "broker &lt;killed&gt;" in svg
