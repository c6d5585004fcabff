"""The real service for tests: `orderkeep ingest` and `orderkeep api` as child processes, and a publisher.

Everything here blocks. Start processes from the main thread: on Linux they end with the thread that did.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from confluent_kafka import Consumer, Producer, TopicPartition

from orderkeep.errors import Rejected
from orderkeep.order import decode
from orderkeep.publish.kafka import MAX_MESSAGE_BYTES, KafkaPublisher
from orderkeep.publish.publisher import DeliveryCallback, Publisher
from orderkeep.supervise import LAUNCHER

PATIENCE = 100.0
"""Seconds after which a wait fails; nothing is ever that slow, however busy the machine."""


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """The first true answer of `condition`; fails with `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} seconds: {what}"
        time.sleep(0.02)
    return answer


class Process:
    """One command of the program, with the given settings and none of the developer's own."""

    def __init__(self, folder: Path, name: str, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._folder = folder
        self.arguments = list(arguments)
        self.env = {**_outside(), **env}
        self._process: subprocess.Popen[bytes] | None = None
        self._read_from = 0

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """Of the last run; negative for the signal that ended it, None while it runs."""
        return self._process.poll() if self._process else None

    def launch(self) -> None:
        """Start it without waiting for anything; its output is appended to `log`."""
        assert self.pid is None, f"{self.name} runs already"
        self._read_from = self.log.stat().st_size if self.log.exists() else 0
        program = [sys.executable, "-m", "orderkeep", *self.arguments]
        dies_with_us = [
            sys.executable,
            "-I",
            "-S",
            str(LAUNCHER),
            str(os.getpid()),
            str(int(signal.SIGTERM)),
            "-",
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*dies_with_us, *program],
                cwd=self._folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> dict[str, Any]:
        """Start it and wait until it is at work: the fields of its log's event `started`."""
        self.launch()
        return self.wait_for("started")

    def output(self) -> str:
        """What it has printed and logged since it was last started."""
        with self.log.open("rb") as log:
            log.seek(self._read_from)
            return log.read().decode(errors="replace")

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """The lines of its log since it was last started; those of one event, when it is named."""
        lines = [_event(line) for line in self.output().splitlines()]
        return [line for line in lines if line and name in (None, line.get("event"))]

    def wait_for(self, name: str) -> dict[str, Any]:
        """The first event of that name since the start; fails when the process ends without it."""

        def look() -> dict[str, Any] | None:
            ended = self.exit_code
            found = self.events(name)
            assert found or ended is None, f"{self.name} ended with {ended}:\n{self.output()}"
            return found[0] if found else None

        event: dict[str, Any] = wait_until(look, f"{self.name} logs {name}")
        return event

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for its end: the exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> int | None:
        """SIGTERM, and wait: the exit code, or None when it never ran. One that hangs is killed and fails."""
        if self._process is None or self._process.poll() is not None:
            return self.exit_code
        self.send_signal(signal.SIGCONT)
        self.send_signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} does not stop:\n{self.output()}") from None

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Service:
    """Ingest and the API of one topic and one database. Nothing runs until it is started.

    `ingest` and `api` are each started, stopped and killed alone; `another_ingest` joins the same group.
    """

    def __init__(
        self,
        folder: Path,
        *,
        brokers: str,
        topic: str,
        database_url: str,
        read_url: str | None = None,
        group: str = "orderkeep",
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`folder` takes the logs and is where the processes run; `env` adds to their settings."""
        self.folder, self.brokers, self.topic, self.group = folder, brokers, topic, group
        self.env = {
            "ORDERKEEP_DATABASE_URL": database_url,
            "ORDERKEEP_DATABASE_READ_URL": read_url or database_url,
            "ORDERKEEP_KAFKA_BROKERS": brokers,
            "ORDERKEEP_KAFKA_TOPIC": topic,
            "ORDERKEEP_KAFKA_GROUP": group,
            "ORDERKEEP_KAFKA_OPTIONS": '{"session.timeout.ms": 6000}',
            "ORDERKEEP_INGEST_PORT": "0",
            **(env or {}),
        }
        self.url = ""
        self.api = self._process("api", ["api", "--http-port=0"])
        self.ingest = self._process("ingest", ["ingest"])
        self._others: list[Process] = []

    @cached_property
    def _producer(self) -> Producer:
        options = {"linger.ms": 5, "message.max.bytes": MAX_MESSAGE_BYTES, "log_level": 0}
        return Producer({"bootstrap.servers": self.brokers, **options})

    def publisher(self, on_delivery: DeliveryCallback) -> Publisher:
        """What `orderkeep publish` would send with."""
        return KafkaPublisher(self.brokers, self.topic, on_delivery=on_delivery)

    def start(self) -> None:
        self.start_ingest()
        self.start_api()

    def start_ingest(self) -> None:
        self.ingest.start()

    def start_api(self) -> None:
        """Start the API; once it ran it comes back on the same port."""
        self.url = self.api.start()["address"]
        self.api.arguments[-1] = f"--http-port={urlsplit(self.url).port}"

    def another_ingest(self, name: str) -> Process:
        """One more member of the group, not started yet; `stop` stops it."""
        other = self._process(name, ["ingest"])
        self._others.append(other)
        return other

    def stop(self) -> None:
        """Stop what runs, ingest first. Fails when one does not end, or not with 0."""
        running = [process for process in (self.ingest, *self._others, self.api) if process.pid]
        codes = {process.name: process.stop() for process in running}
        assert not any(codes.values()), codes

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `orderkeep …` to its end with the settings of this service."""
        return run_command(self.folder, arguments, self.env)

    def audit(self) -> dict[str, Any]:
        """The report of `orderkeep audit --json`, with its `exit_code` beside the counts."""
        done = self.command("audit", "--json")
        assert done.returncode in (0, 1), done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return {**report, "exit_code": done.returncode}

    def send(self, payloads: Sequence[bytes | None], partition: int = -1) -> None:
        """Produce, and wait until the broker has everything; by default spread over the partitions."""
        failed: list[object] = []
        for number, payload in enumerate(payloads):
            self._producer.produce(
                self.topic,
                payload,
                key=None if partition >= 0 else str(number).encode(),
                partition=partition,
                on_delivery=lambda error, _message: failed.append(error) if error else None,
            )
            self._producer.poll(0)
        self._producer.flush()
        assert not failed

    def publish(self, payloads: Sequence[bytes]) -> None:
        """Send, and wait until every one that is an order can be asked for."""
        self.send(payloads)
        missing = {uid for uid in map(uid_of, payloads) if uid is not None}
        with httpx.Client(base_url=self.url) as client:

            def all_there() -> bool:
                found = {uid for uid in missing if client.head(f"/orders/{uid}").status_code == 200}
                missing.difference_update(found)
                return not missing

            wait_until(all_there, f"every order published can be asked for; ingest says {self._last_words()}")

    def wait_until_acknowledged(self) -> None:
        """Wait until the group has committed the end of every partition."""
        wait_until(
            lambda: self.unacknowledged() == 0, f"all is acknowledged; ingest says {self._last_words()}"
        )

    def unacknowledged(self) -> int:
        """Positions between what the group has committed and the ends of the partitions."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": self.group, "log_level": 0})
        try:
            numbers = consumer.list_topics(self.topic, PATIENCE).topics[self.topic].partitions
            partitions = [TopicPartition(self.topic, number) for number in numbers]
            ends = {part.partition: consumer.get_watermark_offsets(part, PATIENCE)[1] for part in partitions}
            committed = consumer.committed(partitions, PATIENCE)
            return sum(ends[part.partition] - max(0, part.offset) for part in committed)
        finally:
            consumer.close()

    def _process(self, name: str, arguments: Sequence[str]) -> Process:
        return Process(self.folder, name, arguments, self.env)

    def _last_words(self) -> str:
        return self.ingest.output()[-2_000:] if self.ingest.log.exists() else "nothing"


def run_command(
    folder: Path, arguments: Sequence[str], env: Mapping[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `orderkeep …` to its end in `folder`, with these settings and none of the developer's own."""
    return subprocess.run(
        [sys.executable, "-m", "orderkeep", *arguments],
        cwd=folder,
        env={**_outside(), **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )


def uid_of(payload: bytes | None) -> str | None:
    """The uid of an order, or None for what is none."""
    try:
        return decode(payload).order_uid
    except Rejected:
        return None


def _outside() -> dict[str, str]:
    """The environment without settings of ours, wide so that no line of an error is wrapped."""
    ours = {name: value for name, value in os.environ.items() if not name.upper().startswith("ORDERKEEP_")}
    return {**ours, "COLUMNS": "200"}


def _event(line: str) -> dict[str, Any]:
    with suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict):
            return event
    return {}
