"""How often one client may ask for what costs: a token bucket for each key, or address without one."""

import ipaddress
import time
from collections.abc import Callable

BURST_SECONDS = 10
"""What is not asked for is saved up, as much as of so many seconds."""
CLIENTS = 10_000
"""Clients that are remembered; who has not asked for longest is forgotten, and has a full bucket again."""


class Limits:
    """So many requests a second of each client, and what it has saved up."""

    def __init__(self, rate: float, now: Callable[[], float] = time.monotonic) -> None:
        """`rate` is requests a second, `now` a clock in seconds."""
        self._rate = rate
        self._most = max(1.0, rate * BURST_SECONDS)
        self._now = now
        self._buckets: dict[str, tuple[float, float]] = {}  # what is left, and when; the latest last

    def take(self, client: str) -> float:
        """0 when it may ask now; else nothing is taken, and these are the seconds until it may."""
        now = self._now()
        left, at = self._buckets.pop(client, (self._most, now))
        left = min(self._most, left + (now - at) * self._rate)
        granted = left >= 1
        self._buckets[client] = (left - granted, now)
        if len(self._buckets) > CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if granted else (1 - left) / self._rate


def network(address: str) -> str:
    """Who an address stands for: of IPv6 the network of 64 bits, within which a client has any address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 6 and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return address
