"""This machine: what a process of ours may use of it."""

import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from orderkeep.api.connections import MAX_CONNECTIONS, RESERVED_FILES
from orderkeep.settings import Settings

from .check import Sight, Verdict, error, ok, warning

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Of version 2 and 1 (the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst)."""
MB = 1024 * 1024


class Machine(NamedTuple):
    """`open_files` is the hard limit, `memory` in bytes: the machine's, or that of the container."""

    open_files: int
    memory: int


async def machine(_sight: Sight) -> Machine:
    return look()


def look() -> Machine:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # not there, or "max"
            memory = min(memory, int(Path(name).read_text()))
    return Machine(MAX_CONNECTIONS * 10 if hard == resource.RLIM_INFINITY else hard, memory)


def open_files(_settings: Settings, seen: Machine) -> Verdict:
    wanted = MAX_CONNECTIONS + RESERVED_FILES
    clients = seen.open_files - RESERVED_FILES
    if clients < 1:
        return error(
            f"a process may open {seen.open_files:,} files, and needs {RESERVED_FILES} for itself",
            f"raise the hard limit to {wanted:,}: LimitNOFILE= of systemd, --ulimit nofile= of Docker",
        )
    if seen.open_files < wanted:
        return warning(
            f"a process may open {seen.open_files:,} files: the API takes {clients:,} connections at most",
            f"raise the hard limit to {wanted:,}: LimitNOFILE= of systemd, --ulimit nofile= of Docker",
        )
    return ok(f"a process may open {seen.open_files:,} files, {wanted:,} are needed at most")


def memory(settings: Settings, seen: Machine) -> Verdict:
    caches = 0 if settings.cache == "redis" else settings.cache_max_bytes * settings.http_workers
    if caches > seen.memory * 0.7:
        return warning(
            f"{settings.http_workers} API processes may cache {caches // MB:,} MB, and there are "
            f"{seen.memory // MB:,} MB",
            "lower ORDERKEEP_CACHE_MAX_BYTES or ORDERKEEP_HTTP_WORKERS: the system would end a process",
        )
    return ok(f"the API's caches take {caches // MB:,} MB at most, of {seen.memory // MB:,} MB")
