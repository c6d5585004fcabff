"""What every command shares."""

import subprocess
import sys

SIZE = 2_000_000
PROGRAM = f"""
import signal, sys
from orderkeep.invocation import write_whole

signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
write_whole()
print("x" * {SIZE}, flush=True)
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_output_is_whole() -> None:
    """Of long output to a pipe nothing is lost when writes are interrupted, unbuffered or not."""
    for options in ([], ["-u"]):
        ran = subprocess.run([sys.executable, *options, "-c", PROGRAM], capture_output=True, check=True)
        assert (len(ran.stdout), ran.stderr) == (SIZE + 1, b"")
