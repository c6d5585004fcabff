"""`python -m tests.package_check`: the package as a stranger gets it.

Builds the sdist, and the wheel from it; installs the wheel into fresh environments outside of the project,
with the versions of `requirements.lock`; and runs its commands there, the demo among them. Exit code 0 when
all is well. Downloads what pip has not kept, about 200 MB.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
PATIENCE = 900
"""Seconds for one step, downloads included."""


class Installation:
    """A fresh virtual environment with the wheel in it, and an empty folder to work in."""

    def __init__(self, place: Path, python: str, wheel: Path, extra: str, constraints: Path) -> None:
        self.place = place
        self.folder = place / "empty"
        self.folder.mkdir(parents=True)
        _run([python, "-m", "venv", str(place / "venv")])
        pip = [str(place / "venv" / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--constraint", str(constraints), f"{wheel}{extra}"])

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `orderkeep` with none of our settings."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("ORDERKEEP_", "PYTHON"))
        }
        return subprocess.run(
            [str(self.place / "venv" / "bin" / "orderkeep"), *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def megabytes(self) -> int:
        """The size of what is installed, pip's own left out."""
        (packages,) = self.place.glob("venv/lib/*/site-packages")
        files = (file for file in packages.rglob("*") if file.is_file() and not file.is_symlink())
        return (
            sum(file.stat().st_size for file in files if file.relative_to(packages).parts[0] != "pip") >> 20
        )


def main() -> None:
    """Build, install, run; `SystemExit` with a line at the first thing that is wrong."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="orderkeep-package-") as folder:
        place = Path(folder)
        place.chmod(0o755)  # PostgreSQL does not run as root, and its user must be able to get there
        wheel = _build(place)
        constraints = place / "constraints.txt"
        constraints.write_text("\n".join(_pinned((ROOT / "requirements.lock").read_text())) + "\n")

        bare = Installation(place / "bare", arguments.python, wheel, "", constraints)
        _check_bare(bare)
        print(f"without extras: {bare.megabytes()} MB")
        whole = Installation(place / "whole", arguments.python, wheel, "[embedded]", constraints)
        print(f"with [embedded]: {whole.megabytes()} MB")
        print(_check_demo(whole, arguments.broker))


def _build(place: Path) -> Path:
    """The sdist of the working tree and the wheel made from that sdist, both in `dist`."""
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(DIST)]
    for old in DIST.glob("orderkeep-*"):
        old.unlink()
    _run([*build, "--target", "sdist"], ROOT)
    (sdist,) = DIST.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(place, filter="data")
    _run([*build, "--target", "wheel"], place / sdist.name.removesuffix(".tar.gz"))
    (wheel,) = DIST.glob("*.whl")
    print(f"built {sdist.relative_to(ROOT)} and {wheel.relative_to(ROOT)}")
    return wheel


def _check_bare(bare: Installation) -> None:
    """Without extras: help, settings, the script of the shell, and a line for the client that is missing."""
    for arguments in (["--help"], ["--version"], ["config"], ["rejects", "--help"]):
        _expect(bare.command(*arguments), 0, "")
    _expect(bare.command("publish", "--count", "1"), 2, "install orderkeep[kafka]")
    _expect(bare.command("audit", "--source", "jetstream"), 2, "install orderkeep[nats]")
    _expect(bare.command("demo"), 2, "install `orderkeep[embedded]`")


def _check_demo(whole: Installation, broker: str) -> str:
    """The demo stores orders, restores them, and serves what was sent; its last line."""
    ports = ["--http-port", "0", "--ingest-port", "0"]
    done = whole.command("demo", "--broker", broker, "--for", "5s", "--json", *ports)
    _expect(done, 0, "")
    line = done.stdout.splitlines()[-1]
    result = json.loads(line)
    if not (result["stored"] and result["get_checked"]) or result["missing"] or result["get_wrong"]:
        sys.exit(f"the demo did not do what it should: {line}")
    return line


def _expect(done: subprocess.CompletedProcess[str], code: int, words: str) -> None:
    output = done.stdout + done.stderr
    if done.returncode != code or words not in output or "Traceback" in output:
        sys.exit(f"{' '.join(done.args)} ended with {done.returncode} instead of {code}:\n{output}")


def _run(command: Sequence[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def _pinned(lock: str) -> list[str]:
    """The lines of a lock without their hashes, which pip would want of the wheel as well."""
    return re.findall(r"^[\w.-]+==[^\\\n]+", lock, re.MULTILINE)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make package-check", description="Build, install and run the package."
    )
    parser.add_argument("--broker", default="jetstream", choices=["kafka", "jetstream"], help="for the demo")
    parser.add_argument("--python", default=sys.executable, help="the interpreter to install for")
    return parser.parse_args()


if __name__ == "__main__":
    main()
