"""Print `kafka-jars.txt` for a version of Apache Kafka: python -m orderkeep.embedded.list_jars VERSION

It resolves what Kafka's POMs declare, downloads it to Maven's local repository and hashes it; jgo compares
every download with the SHA-1 that the repository publishes, and warns.
"""

import hashlib
import sys
from collections.abc import Iterator

import jgo

LOGGING = "org.slf4j:slf4j-simple:1.7.36"
"""Kafka logs to slf4j and brings nothing that listens; this one writes to standard error."""


def jar_list(version: str) -> Iterator[str]:
    """The lines of the list, comments first."""
    yield f"# Apache Kafka {version} with what it needs to run, and slf4j-simple for its log."
    yield "# Made by `python -m orderkeep.embedded.list_jars`: SHA-256 and Maven coordinates of each jar."
    found = {
        f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}": artifact.resolve()
        for wanted in (f"org.apache.kafka:kafka_2.13:{version}", LOGGING)
        for artifact in jgo.resolve(wanted)
    }
    for coordinates, file in sorted(found.items()):
        yield f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {coordinates}"


if __name__ == "__main__":
    for line in jar_list(sys.argv[1]):
        sys.stdout.write(f"{line}\n")
