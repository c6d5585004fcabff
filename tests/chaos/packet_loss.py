"""Packets dropped on the loopback interface, at given ports. Needs root and iptables (Linux)."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tests.chaos.afterwards import Afterwards

_IPTABLES = ("iptables", "--wait", "10")


@contextmanager
def packet_loss(ports: Iterable[int], share: float) -> Iterator[None]:
    """Drop this share (0 to 1) of all packets from and to these ports. The rules go with this process.

    Raises subprocess.CalledProcessError when the kernel does not know such rules.
    """
    chain = f"ORDERKEEP-{os.getpid()}"  # nobody else's, whatever else runs on the machine
    jump = ("INPUT", "--in-interface", "lo", "--jump", chain)
    undo = (("--delete", *jump), ("--flush", chain), ("--delete-chain", chain))
    with Afterwards("; ".join(" ".join((*_IPTABLES, *step)) for step in undo)):
        _run("--new-chain", chain)
        for port in ports:
            for side in ("--source-port", "--destination-port"):
                chance = ("--match", "statistic", "--mode", "random", "--probability", f"{share:.3f}")
                _run("--append", chain, "--protocol", "tcp", side, str(port), *chance, "--jump", "DROP")
        _run("--insert", *jump)
        yield


@functools.cache
def missing() -> str | None:
    """Why packets cannot be dropped here, or None."""
    if os.geteuid() != 0:
        return "dropping packets needs root"
    if shutil.which(_IPTABLES[0]) is None:
        return "iptables is not installed"
    try:
        with packet_loss([1], 0.001):
            return None
    except subprocess.CalledProcessError as error:
        return f"the kernel cannot drop packets at random: {error.stderr.strip()[:100]}"


def _run(*arguments: str) -> None:
    subprocess.run([*_IPTABLES, *arguments], check=True, capture_output=True, text=True)
