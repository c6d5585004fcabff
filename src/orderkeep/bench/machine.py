"""The machine and the versions that figures were measured on: without them they say nothing."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import confluent_kafka
import psutil  # type: ignore[import-untyped]  # the package has no types of its own
from msgspec import Struct

from orderkeep.embedded.binaries import postgres_binaries
from orderkeep.embedded.java import LIST

_CPU_INFO = Path("/proc/cpuinfo")


class Machine(Struct, frozen=True):
    """`cores` are those this process may use, `load` the system's load of the last minute at the start."""

    cores: int
    cpu: str
    memory_bytes: int
    load: float
    system: str
    python: str
    orderkeep: str
    postgresql: str
    kafka: str
    librdkafka: str

    def lines(self) -> list[str]:
        """The same for people."""
        return [
            f"{self.cores} cores of {self.cpu}, {self.memory_bytes / 2**30:.1f} GiB, load {self.load:.1f}, "
            f"{self.system}",
            f"orderkeep {self.orderkeep}, Python {self.python}, PostgreSQL {self.postgresql}, "
            f"Kafka {self.kafka}, librdkafka {self.librdkafka}",
        ]


def this_machine() -> Machine:
    """Look. Raises `ServerUnavailable` when there is no PostgreSQL to ask."""
    return Machine(
        cores=_cores(),
        cpu=_cpu_name(),
        memory_bytes=psutil.virtual_memory().total,
        load=round(psutil.getloadavg()[0], 2),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        orderkeep=version("orderkeep"),
        postgresql=_postgresql_version(),
        kafka=_kafka_version(),
        librdkafka=confluent_kafka.libversion()[0],
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_name() -> str:
    """Linux does not tell it to `platform.processor()`."""
    text = _CPU_INFO.read_text() if _CPU_INFO.exists() else ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()


def _postgresql_version() -> str:
    command = [str(postgres_binaries(None) / "postgres"), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    number = re.search(r"\d+(\.\d+)*", said)
    return number[0] if number else "unknown"


def _kafka_version() -> str:
    number = re.search(r"org\.apache\.kafka:kafka-server:(\S+)", LIST.read_text())
    return number[1] if number else "unknown"
