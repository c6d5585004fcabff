"""The demo from start to end: servers, service, traffic, a live line, and the proof."""

import asyncio
import contextlib
import socket
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from msgspec import Struct
from rich.console import Console

from orderkeep.api.access import refuse_exposure
from orderkeep.api.server import address, listen
from orderkeep.demo import check, servers
from orderkeep.demo.line import StatusLine
from orderkeep.demo.traffic import Latency, Traffic
from orderkeep.errors import Fatal
from orderkeep.running import stop_on_signal
from orderkeep.settings import Settings, environment
from orderkeep.supervise import Service, keep_all_up

READY_SECONDS = 30.0
LINE_SECONDS = 0.5


class Demo(Struct, frozen=True, kw_only=True):
    """What was asked for; `broker` None is Kafka if it can be had, `seconds` None is until Ctrl-C.

    `rate` in messages a second, `bad` a share.
    """

    broker: str | None
    seconds: float | None
    rate: float
    bad: float
    as_json: bool
    data: Path


class DemoReport(Struct, frozen=True, kw_only=True):
    """What came of it, in this run; the outcomes are the audit's."""

    broker: str
    published: int
    stored: int
    duplicate: int
    rejected: int
    conflict: int
    missing: int
    restored: int
    get_checked: int
    get_wrong: int
    latency_ms: Latency

    @property
    def well(self) -> bool:
        outcomes = self.stored + self.duplicate + self.rejected + self.conflict
        return not self.missing and not self.get_wrong and outcomes == self.published


def run_demo(settings: Settings, demo: Demo, *, reset: bool) -> bool:
    """Run until the time is over, or Ctrl-C; False when the proof fails. Blocks; raises `Fatal`."""
    console = Console(stderr=demo.as_json, highlight=False)
    # What is published is read back without a key, and as often as it comes.
    settings = settings.model_copy(update={"keys_file": "", "http_client_rate": 0.0})
    refuse_exposure(settings)
    # A certificate is for the service's own name, and the demo is on loopback.
    settings = settings.model_copy(update={"http_tls_cert_file": "", "http_tls_key_file": ""})
    listener = listen(settings.http_host, settings.http_port, setting="ORDERKEEP_HTTP_PORT")

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    with servers.running(settings, demo.broker, demo.data, say, reset=reset) as reached:
        report = uvloop.run(_Run(reached, demo, console, listener).work())
    say("stopped; nothing is left running")
    if report is None:
        return True
    if demo.as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    return report.well


class _Run:
    """One run, with the servers up."""

    def __init__(self, settings: Settings, demo: Demo, console: Console, listener: socket.socket) -> None:
        self._demo = demo
        self._console = console
        self._url = address(listener)
        health = listen("127.0.0.1", 0, setting="ORDERKEEP_INGEST_PORT")
        self._ingest_url = address(health)
        self._settings = settings.model_copy(update={"ingest_urls": self._ingest_url})
        self._api = self._service("api", listener)
        self._ingest = self._service("ingest", health)
        self._traffic = Traffic(settings, self._url, rate=demo.rate, bad=demo.bad)
        self._restored = 0

    async def work(self) -> DemoReport | None:
        since = (await asyncio.to_thread(check.topic_state, self._settings)).end
        halt = asyncio.Event()
        with stop_on_signal() as interrupted:
            keeping = asyncio.create_task(keep_all_up([self._ingest, self._api], halt))
            showing = asyncio.create_task(self._show(since, interrupted))
            try:
                await asyncio.wait((keeping, showing), return_when=asyncio.FIRST_COMPLETED)
                if keeping.done():
                    keeping.result()
                return await showing
            finally:
                showing.cancel()
                await asyncio.to_thread(self._traffic.stop)
                halt.set()
                await asyncio.gather(keeping, showing, return_exceptions=True)

    def _service(self, role: str, listener: socket.socket) -> Service:
        fd = listener.detach()
        output = self._demo.data / f"{role}.log"
        return Service(role, [role, f"--fd={fd}"], fd=fd, output=output, settings=environment(self._settings))

    async def _show(self, since: Mapping[int, int], interrupted: asyncio.Event) -> DemoReport | None:
        self._restored = await self._wait_for_cache(interrupted)
        self._console.print(f"the page: [bold]{self._url}[/bold]   Ctrl-C stops everything")
        if self._restored:
            self._console.print(f"{self._restored:,} orders of earlier runs are back in memory")
        self._traffic.start()
        if self._demo.seconds is None:
            await self._watch(interrupted, None)
        else:
            await self._watch(interrupted, self._demo.seconds / 2)
            if not interrupted.is_set():
                self._console.print("restarting the API: what it serves comes back from the database")
                await self._api.restart()
                self._restored = await self._wait_for_cache(interrupted)
                await self._watch(interrupted, self._demo.seconds / 2)
        if self._demo.seconds is None and not self._demo.as_json:
            return None
        return await self._prove(since)

    async def _watch(self, interrupted: asyncio.Event, seconds: float | None) -> None:
        """Show the live line until the time is over, or Ctrl-C. Raises what stopped the publisher."""
        end = float("inf") if seconds is None else time.monotonic() + seconds
        line = StatusLine(self._console)
        with line:
            while not interrupted.is_set() and (left := end - time.monotonic()) > 0:
                if self._traffic.failure is not None:
                    raise self._traffic.failure
                status = await asyncio.to_thread(_get_json, f"{self._ingest_url}/health/ready")
                line.show(self._traffic.published, status, self._traffic.latency())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(interrupted.wait(), min(left, LINE_SECONDS))

    async def _wait_for_cache(self, interrupted: asyncio.Event) -> int:
        """Wait until the API has restored its cache, and return how many orders that were."""
        deadline = time.monotonic() + READY_SECONDS
        while not interrupted.is_set():
            status = await asyncio.to_thread(_get_json, f"{self._url}/health/ready")
            if status.get("restore", {}).get("following") and not status["restore"]["restoring"]:
                return int(status["restore"]["restored"])
            if time.monotonic() > deadline:
                raise Fatal(f"the API is not ready after {READY_SECONDS:g} s: see {self._demo.data}/api.log")
            await asyncio.sleep(0.05)
        return 0

    async def _prove(self, since: Mapping[int, int]) -> DemoReport:
        await asyncio.to_thread(self._traffic.stop)
        self._console.print("checking every message against the database, and reading back what was sent")
        state = await check.settle(self._settings)
        report = await check.audit_run(self._settings, since, state.end)
        unacknowledged = sum(max(0, end - state.committed.get(part, 0)) for part, end in state.end.items())
        digests = self._traffic.digests
        wrong = await asyncio.to_thread(check.read_back, self._url, digests)
        for line in report.lines():
            self._console.print(line, markup=False)
        self._console.print(f"{len(digests):,} orders read back, {wrong:,} not as they were sent")
        return DemoReport(
            broker=self._settings.source,
            published=self._traffic.published,
            stored=report.stored,
            duplicate=report.duplicate,
            rejected=report.rejected,
            conflict=report.conflict,
            missing=report.missing + unacknowledged,
            restored=self._restored,
            get_checked=len(digests),
            get_wrong=wrong,
            latency_ms=self._traffic.latency(),
        )


def _get_json(url: str) -> dict[str, Any]:
    """What the service says at `url`; empty while it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # nosec B310 # ours, always http
            found: dict[str, Any] = msgspec.json.decode(answer.read())
            return found
    except OSError:
        return {}
