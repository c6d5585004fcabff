"""Ingest is killed, fed with poison and stopped, and every message still has its one outcome."""

import random
import signal

import httpx
import pytest

from orderkeep.publish.broken import BREAKAGES
from tests.conftest import Database
from tests.service import Service, wait_until

from .audit_scene import order, send_with_raw_header
from .load import Load, prove, read_back, status, wait_for_commits


@pytest.mark.timeout(120)
def test_killed_in_mid_stream(own_service: Service) -> None:
    """Killed again and again under load, ingest goes on where it was: each message has one outcome."""
    own_service.start()
    with Load(own_service) as load:
        for _ in range(4):
            wait_for_commits(own_service.ingest)
            own_service.ingest.kill()
            load.wait_for_more()
            own_service.start_ingest()
        wait_for_commits(own_service.ingest)
    prove(own_service, load)
    read_back(own_service, load)


def test_everything_delivered_again(own_service: Service, database: Database) -> None:
    """Messages whose outcomes are there already are found, each, and nothing is added."""
    own_service.start_ingest()
    with Load(own_service, bad=0.2, rate=2_000) as load:
        load.wait_for_more(800)
    prove(own_service, load)
    own_service.ingest.stop()
    database.execute("delete from progress")

    own_service.start_ingest()
    wait_until(lambda: status(own_service.ingest)["consumed"] >= load.delivered, "all is read again")
    prove(own_service, load)
    repeats = load.expected["duplicate"]
    outcomes = status(own_service.ingest)["outcomes"]
    assert outcomes == {"redelivered": load.delivered - repeats, "duplicate": repeats}


def test_poison(own_service: Service) -> None:
    """Every kind of broken message, and random bytes, among good orders break nothing and delay nobody."""
    own_service.start()
    pid = own_service.ingest.pid
    noise = random.Random(7)
    garbage = [noise.randbytes(noise.randrange(1, 3_000)) for _ in range(200)]
    garbage += [
        b"\0",
        b"{",
        b'"',
        b"\xff" * 100_000,
        b"[" * 900_000,
        b"\\" * 1_000,
        b'{"order_uid":' * 50_000,
    ]
    with Load(own_service, bad=0.5) as load:
        for start in range(0, len(garbage), 20):
            load.wait_for_more(40)
            own_service.send(garbage[start : start + 20])
        wait_until(lambda: set(load.kinds) >= set(BREAKAGES), "every kind was sent")
    own_service.wait_until_acknowledged()

    report = own_service.audit()
    assert report["exit_code"] == 0, report
    assert report["messages"] == load.delivered + len(garbage)
    assert report["stored"] == load.expected["stored"]
    assert report["rejected"] == load.expected["rejected"] + len(garbage)
    assert own_service.ingest.pid == pid
    read_back(own_service, load)


def test_header_names_that_are_not_text(own_service: Service) -> None:
    """Header names that are not UTF-8, on bad messages and on good ones, do not kill ingest."""
    own_service.start()
    pid = own_service.ingest.pid
    send_with_raw_header(own_service.brokers, own_service.topic, b"broken", b"\xff\xfe", 200)
    send_with_raw_header(own_service.brokers, own_service.topic, order("good"), b"\x80", 1)
    own_service.publish([order("after")])
    own_service.wait_until_acknowledged()

    report = own_service.audit()
    assert report["exit_code"] == 0, report
    assert (report["stored"], report["rejected"]) == (2, 200)
    assert own_service.ingest.pid == pid
    assert httpx.get(f"{own_service.url}/orders/good").content == order("good")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_orderly_stop(own_service: Service, number: signal.Signals) -> None:
    """Asked to stop under load, ingest ends with 0, and the next one finds nothing that it had stored."""
    with Load(own_service) as load:
        for _ in range(2):
            own_service.start_ingest()
            wait_for_commits(own_service.ingest)
            assert status(own_service.ingest)["outcomes"].get("redelivered", 0) == 0
            own_service.ingest.send_signal(number)
            assert own_service.ingest.wait() == 0
            assert own_service.ingest.events("stopped")[0]["finished"] is True
    own_service.start_ingest()
    prove(own_service, load)
    assert status(own_service.ingest)["outcomes"].get("redelivered", 0) == 0


def test_stop_of_an_idle_ingest(own_service: Service) -> None:
    """With nothing to do, ingest stops with 0 as soon as it is asked to, at any moment of its start."""
    own_service.ingest.launch()
    own_service.ingest.wait_for("started")
    assert own_service.ingest.stop() == 0
    own_service.start_ingest()
    own_service.ingest.wait_for("partitions_assigned")
    assert own_service.ingest.stop() == 0
