"""The contracts can be tried on somebody else's implementations, and find what is wrong with them."""

import os
import subprocess
import sys
from pathlib import Path

from tests.documents import ROOT

THEIRS = """
from contextlib import asynccontextmanager
from tests.contract.brokers import MemoryBroker
from tests.contract.stores import MemoryStores


def source(request):
    return MemoryBroker()


def store(request):
    return MemoryStores()


class Caches:
    def __init__(self, request, cut=0):
        self._entries, self._cut, self._erased = {}, cut, set()

    @asynccontextmanager
    async def opened(self):
        yield self

    async def settle(self, cache):
        pass

    async def get(self, uid):
        entry = self._entries.get(uid)
        return entry and entry[self._cut:]

    async def put_new(self, uid, entry):
        if uid not in self._erased:
            self._entries[uid] = entry

    put_read = put_new

    def begin_restore(self):
        pass

    async def put_older(self, uid, entry):
        await self.put_new(uid, entry)
        return True

    async def erase(self, uids):
        self._erased.update(uids)
        for uid in uids:
            self._entries.pop(uid, None)


def broken_caches(request):
    return Caches(request, cut=1)
"""


def run(folder: Path, **named: str) -> tuple[int, str]:
    """The exit code and the last line of the suites of these kinds, tried on what a module of theirs has."""
    (folder / "theirs.py").write_text(THEIRS)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ORDERKEEP_TEST_")}
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {f"ORDERKEEP_TEST_{kind.upper()}": f"theirs:{name}" for kind, name in named.items()}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"tests/contract/test_{kind}.py" for kind in named),
        ],
        cwd=ROOT,
        env={**ours, **variables, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()[-1]


def test_theirs(tmp_path: Path) -> None:
    """One of their own passes each suite, without any server of ours."""
    code, last = run(tmp_path, source="source", store="store", cache="Caches")
    assert code == 0, last
    assert "passed" in last


def test_theirs_is_broken(tmp_path: Path) -> None:
    """One that serves a byte too few fails."""
    code, last = run(tmp_path, cache="broken_caches")
    assert code == 1
    assert "failed" in last
