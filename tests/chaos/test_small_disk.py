"""A small disk can be full and roomy again, and is unmounted whatever happens."""

import errno
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requirements import need
from tests.service import wait_until

from .small_disk import SmallDisk, missing

MOUNT_AND_WAIT = """
import sys, time
from pathlib import Path
from tests.chaos.small_disk import SmallDisk
SmallDisk(Path(sys.argv[1]), 1).mount()
print("mounted", flush=True)
time.sleep(60)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    need(missing() is None, missing() or "")
    made = SmallDisk(tmp_path / "small", 16)
    made.mount()
    yield made
    made.unmount()
    assert not made.folder.is_mount()


def test_full(disk: SmallDisk) -> None:
    """Full, it takes nothing and keeps what it has; freed, it takes more."""
    file = disk.folder / "file"
    file.write_bytes(b"x" * 3_000_000)
    disk.fill()
    assert not disk.has_room()
    with pytest.raises(OSError, match=r"No space left") as failure:
        (disk.folder / "more").write_bytes(b"x" * 100_000)
    assert failure.value.errno == errno.ENOSPC
    disk.free()
    assert disk.has_room()
    (disk.folder / "more").write_bytes(b"x" * 3_000_000)
    assert file.read_bytes() == b"x" * 3_000_000


def test_nearly_full(disk: SmallDisk) -> None:
    """A rest of its room can be left."""
    disk.fill(leave=1_000_000)
    (disk.folder / "fits").write_bytes(b"x" * 900_000)
    with pytest.raises(OSError, match="No space left"):
        (disk.folder / "does not").write_bytes(b"x" * 900_000)


def test_killed(tmp_path: Path) -> None:
    """It is unmounted when the process that mounted it is killed."""
    need(missing() is None, missing() or "")
    folder = tmp_path / "small"
    process = subprocess.Popen(
        [sys.executable, "-c", MOUNT_AND_WAIT, folder], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert folder.is_mount()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not folder.is_mount(), "it is unmounted")
