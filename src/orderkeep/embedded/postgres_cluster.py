"""The files of a PostgreSQL cluster: made anew, copied from a running one, put back from a backup."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orderkeep.errors import Fatal

from .process import Account, telling_line

TELLING = ("FATAL:", "PANIC:", "ERROR:", "could not", "error:", "cannot")
"""What marks the lines of PostgreSQL's output that say why something failed."""
PASSWORD = "password"  # noqa: S105  # nosec B105 # the name of the file that holds it


def make_cluster(binaries: Path, private: Path, account: Account | None) -> None:
    """Make `pgdata` in `private`, complete or not at all, and the superuser's password beside it."""
    keep_password(private, secrets.token_urlsafe(18), account)
    unfinished = _emptied(private / "pgdata.new")
    command = [
        *(str(binaries / "initdb"), "-D", str(unfinished), f"--pwfile={private / PASSWORD}"),
        *("--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
        *("--data-checksums", "--no-sync"),
    ]
    _run(command, private, account, "could not make its cluster")
    unfinished.rename(private / "pgdata")


def copy_cluster(
    binaries: Path, private: Path, name: str, url: str, account: Account | None, *, standby: bool
) -> None:
    """Copy the running server at `url` to `name` in `private`, complete or not at all.

    With `standby` the copy follows that server when it is started, else it goes its own way from here.
    """
    unfinished = _emptied(private / f"{name}.new")
    command = [
        *(str(binaries / "pg_basebackup"), "-D", str(unfinished), "--wal-method=stream", "--checkpoint=fast"),
        *("--no-sync", "--no-password", *(["--write-recovery-conf"] if standby else [])),
    ]
    # By libpq's variables: everyone can read a command line.
    _run(command, private, account, "could not be copied", libpq_variables(url))
    _emptied(private / name)
    unfinished.rename(private / name)


def put_back(private: Path, name: str) -> None:
    """Put a copy in the place of `pgdata`; it is used up."""
    _emptied(private / "pgdata")
    (private / name).rename(private / "pgdata")


def keep_password(private: Path, password: str, account: Account | None) -> None:
    file = private / PASSWORD
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(password)
    if account:
        os.chown(file, account.uid, account.gid)


def libpq_variables(url: str) -> dict[str, str]:
    """The environment that makes libpq's programs connect to `url`, which names everything."""
    parts = urlsplit(url)
    return {
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
    }


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _run(
    command: Sequence[str],
    private: Path,
    account: Account | None,
    failure: str,
    variables: Mapping[str, str] | None = None,
) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=private,
        env={**os.environ, **(variables or {})},
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode:
        raise Fatal(f"PostgreSQL {failure}: {telling_line(done.stderr, TELLING)}")
