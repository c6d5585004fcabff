"""`orderkeep serve` keeps ingest and the API up, and leaves nothing behind, however it ends."""

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]  # the package has no types of its own
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Database
from tests.service import Process, Service, wait_until

from .audit_scene import order
from .conftest import MakeService

Serve = Callable[..., Process]


@pytest.fixture
def serve(make_service: MakeService) -> Iterator[Serve]:
    """Start `orderkeep serve` over this test's topic and database; what still runs at the end is killed."""
    with ExitStack() as cleanup:

        def start(service: Service | None = None, **env: str) -> Process:
            service = service or make_service()
            settings = {**service.env, "ORDERKEEP_HTTP_PORT": "0", **env}
            process = Process(service.folder, "serve", ["serve"], settings)
            cleanup.callback(process.kill)
            process.launch()
            return process

        yield start


def children(process: Process) -> dict[str, psutil.Process]:
    """The processes that it started, by their role."""
    found: dict[str, psutil.Process] = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # ended this moment
            words = child.cmdline()
            if words[2:3] == ["orderkeep"]:
                found[words[3]] = child
    return found


def wait_until_up(process: Process) -> tuple[str, dict[str, psutil.Process]]:
    """Wait until all of it works: the API's address, and the processes."""
    wait_until(
        lambda: process.exit_code is not None or {"ingest", "api"} <= roles_started(process),
        "both have started",
    )
    assert process.exit_code is None, process.output()
    return process.wait_for("started")["address"], children(process)


def roles_started(process: Process) -> set[Any]:
    return {event["role"] for event in process.events("started")}


def are_gone(processes: dict[str, psutil.Process]) -> bool:
    return not any(is_running(process) for process in processes.values())


def is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def is_served(url: str, uid: str) -> bool:
    try:
        return httpx.get(f"{url}/orders/{uid}").content == order(uid)
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_runs_both_and_stops_both(make_service: MakeService, serve: Serve, number: signal.Signals) -> None:
    """Both run, a signal ends both in order, the exit code is 0, and no process is left."""
    service = make_service()
    process = serve(service)
    url, processes = wait_until_up(process)
    assert set(processes) == {"ingest", "api"}
    service.send([order("a")])
    wait_until(lambda: is_served(url, "a"), "the order is served")

    process.send_signal(number)
    assert process.wait() == 0
    assert are_gone(processes)
    ended = {event["role"]: event["finished"] for event in process.events("stopped")}
    assert ended == {"ingest": True, "api": True}
    service.wait_until_acknowledged()
    assert service.audit()["exit_code"] == 0


@pytest.mark.parametrize("role", ["ingest", "api"])
def test_starts_again_what_was_killed(make_service: MakeService, serve: Serve, role: str) -> None:
    """A process that is killed is started again; the other goes on, and the address stays the same."""
    service = make_service()
    process = serve(service)
    url, before = wait_until_up(process)
    for uid in ("a", "b"):
        killed = children(process)[role]
        killed.kill()
        wait_until(lambda: role in (now := children(process)) and now[role] != killed, "it is there again")  # noqa: B023 - called within the turn
        service.send([order(uid)])
        wait_until(lambda: is_served(url, uid), "the order is served")  # noqa: B023 - called within the turn
    assert [(event["role"], event["code"]) for event in process.events("child_ended")] == [(role, -9)] * 2
    (other,) = {"ingest", "api"} - {role}
    assert children(process)[other] == before[other]
    processes = children(process)
    assert process.stop() == 0
    assert are_gone(processes)


def requests_counted(url: str) -> dict[tuple[str, str, str], float]:
    """By worker, route and status, as any of the processes tells of all."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    return {
        (sample.labels["worker"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "orderkeep_http_requests_total"
    }


def test_several_api_processes(make_service: MakeService, serve: Serve) -> None:
    """Several API processes share the port and count every request once, whichever is asked; one of them
    killed, the others answer without a pause.
    """
    service = make_service()
    process = serve(service, ORDERKEEP_HTTP_WORKERS="3")
    url = process.wait_for("started")["address"]
    wait_until(lambda: len(process.events("started")) == 5, "all have started")
    service.send([order("a")])
    wait_until(lambda: {worker for worker, _, _ in requests_counted(url)} == {"1", "2", "3"}, "all tell")
    wait_until(lambda: is_served(url, "a"), "the order is served")
    before = Counter(requests_counted(url))
    for _ in range(30):  # connections, of which each process gets some
        with httpx.Client(base_url=url) as client:
            for path in ("/orders/a", "/orders/a", "/orders/a", "/orders/a", "/order/a", "/orders/b"):
                client.get(path)
    counted: Counter[tuple[str, str]] = Counter()
    for (_, route, status), count in (Counter(requests_counted(url)) - before).items():
        counted[route, status] += round(count)
    assert {name: count for name, count in counted.items() if name[0] != "/metrics"} == {
        ("/orders/{uid}", "200"): 120,  # most of them in the fast lane
        ("/order/{uid}", "200"): 30,
        ("/orders/{uid}", "404"): 30,
    }
    found = psutil.Process(process.pid).children(recursive=True)
    apis = [child for child in found if child.cmdline()[3:4] == ["api"]]
    assert len(apis) == 3
    apis[0].kill()
    for _ in range(50):
        assert httpx.get(f"{url}/health/live").status_code == 200
    assert process.stop() == 0
    assert are_gone({str(child.pid): child for child in found})


def test_killed(serve: Serve) -> None:
    """When it is killed itself, the processes that it started end too."""
    process = serve()
    _, processes = wait_until_up(process)
    process.kill()
    wait_until(lambda: are_gone(processes), "the processes have ended")


def test_stops_as_a_whole_at_its_start(serve: Serve) -> None:
    """A topic that is not there stops all of it, with a line that says so and exit code 2."""
    process = serve(ORDERKEEP_KAFKA_TOPIC="nowhere")
    assert process.wait() == 2
    told = [line for line in process.output().splitlines() if line.startswith("orderkeep: ")]
    assert any("nowhere" in line and "ORDERKEEP_KAFKA_TOPIC" in line for line in told)
    assert "ingest" in told[-1]
    assert "Traceback" not in process.output()


def test_stops_as_a_whole_later(make_service: MakeService, serve: Serve, database: Database) -> None:
    """What only a person can repair, met in the middle of the work, stops all of it, and says what it is."""
    service = make_service()
    process = serve(service)
    _, processes = wait_until_up(process)
    database.execute("drop table orders cascade")
    service.send([order("a")])
    assert process.wait() == 2
    told = [line for line in process.output().splitlines() if line.startswith("orderkeep: ")]
    assert any("orderkeep migrate" in line for line in told), process.output()
    assert "ingest" in told[-1]
    assert "Traceback" not in process.output()
    assert are_gone(processes)
