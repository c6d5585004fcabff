"""The uids of orders that were erased lately: what was read before must not bring one back."""

import time
from collections.abc import Iterable
from datetime import timedelta
from itertools import takewhile

LATELY = timedelta(days=1)
"""Longer than a read or a restore is under way, and than a standby that is read may be behind."""


class Erased:
    """Bounded by time: how many are erased in a day is how many are remembered."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}

    def add(self, uids: Iterable[str]) -> None:
        now = time.monotonic()
        for uid in uids:
            self._heard.pop(uid, None)  # the last heard of is the last of the dict
            self._heard[uid] = now
        oldest = now - LATELY.total_seconds()
        for uid in [uid for uid, _ in takewhile(lambda item: item[1] < oldest, self._heard.items())]:
            del self._heard[uid]

    def __contains__(self, uid: str) -> bool:
        return uid in self._heard
