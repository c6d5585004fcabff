"""What is judged of a PostgreSQL server: whether it keeps what it confirms, and has room for us."""

import re
import shutil
from pathlib import Path

from orderkeep.settings import Settings
from orderkeep.storage.migrate import compare, migrations

from .check import Verdict, error, ok, warning
from .database import Database

OLDEST_VERSION = 14
"""Multiranges, and a server that tells when it is promoted, are in PostgreSQL since then; tried with 18."""
CLOCK_SECONDS = 2.0
QUEUE_SHARE = 0.5
"""Of the notification queue. Full, it lets no commit through that notifies (PostgreSQL, NOTIFY)."""
LONG_SECONDS = 3600.0
OLD_TRANSACTIONS, OLDEST_TRANSACTIONS = 500_000_000, 1_500_000_000
"""At two billion PostgreSQL stops taking writes; autovacuum begins at 200 million (Routine Vacuuming)."""
FREE_SHARE = 0.1
STANDBY_SECONDS = 60.0
GB = 1024**3


def reached(_settings: Settings, seen: Database) -> Verdict:
    kind = "a standby" if seen.server["standby"] else "the primary"
    return ok(f"{kind} at {seen.server['place']} answers {seen.server['user']}")


def version(_settings: Settings, seen: Database) -> Verdict:
    number = seen.server["version"]
    if int(re.split(r"\D", number)[0]) < OLDEST_VERSION:  # "18.6 (Debian 18.6-1)", "19beta1"
        return error(f"PostgreSQL {number}", f"upgrade the server: {OLDEST_VERSION} or later is needed")
    return ok(f"PostgreSQL {number}")


def direct(_settings: Settings, seen: Database) -> Verdict:
    if seen.proxied:
        return warning(
            "something between us and PostgreSQL gives the connection of another session",
            "let ORDERKEEP_DATABASE_URL lead to the server itself: notifications do not pass a pooling proxy "
            "in transaction mode",
        )
    return ok("the connection is direct: notifications reach the API")


def encoding(_settings: Settings, seen: Database) -> Verdict:
    found = seen.server["encoding"]
    if found != "UTF8":
        return error(
            f"the database is encoded in {found}, which not every order can be stored in",
            "make another: create database … encoding 'UTF8' template template0",
        )
    return ok("the database is encoded in UTF8")


def applied(_settings: Settings, seen: Database) -> list[Verdict]:
    history = compare(seen.migrations, migrations())
    found = []
    if history.pending:
        names = ", ".join(step.name for step in history.pending)
        found.append(error(f"not applied: {names}", "run `orderkeep migrate`"))
    if history.changed:
        names = ", ".join(step.name for step in history.changed)
        found.append(error(f"changed since applied: {names}", "restore the files: add a new one instead"))
    if history.unfit:
        names = ", ".join(step.name for step in history.unfit)
        found.append(
            error(f"of a newer program, which this one does not work with: {names}", "start that one")
        )
    elif history.newer:
        names = ", ".join(step.name for step in history.newer)
        found.append(warning(f"applied by a newer program: {names}", "upgrade this one as well"))
    return found or [ok(f"all {len(seen.migrations)} migrations are applied, and none was changed")]


def durability(_settings: Settings, seen: Database) -> list[Verdict]:
    found = []
    if seen.settings["fsync"] != "on":
        found.append(
            error(
                "fsync is off: a crash of the machine may destroy the database", "set fsync = on, and reload"
            )
        )
    if seen.settings["full_page_writes"] != "on":
        found.append(
            warning(
                "full_page_writes is off: a crash of the machine may leave pages half written",
                "set full_page_writes = on, unless the file system writes whole pages, as ZFS does",
            )
        )
    return found or [ok("fsync and full_page_writes are on")]


def commits(_settings: Settings, seen: Database) -> Verdict:
    level, wanted = seen.settings["synchronous_commit"], seen.settings["synchronous_standby_names"]
    if wanted and not seen.activity["standbys"] and not seen.server["standby"]:
        return error(
            f"synchronous_standby_names is {wanted}, and no standby is connected: every commit waits for one",
            "start the standby, or empty synchronous_standby_names",
        )
    if level == "off":
        return warning(
            "synchronous_commit is off by default: a crash loses what was committed last",
            "set synchronous_commit = on. Batches of orders are committed with on whatever the default; the "
            "rest of what uses this server is not",
        )
    return ok(f"synchronous_commit is {level}; {seen.activity['standbys']} standbys are connected")


def notifications(_settings: Settings, seen: Database) -> Verdict:
    usage = seen.server["notification_queue"]
    if usage > QUEUE_SHARE:
        return error(
            f"the queue of notifications is {usage:.0%} full; once it is full, commits fail",
            "end the session that listens and has been in a transaction for longest: see pg_stat_activity",
        )
    return ok(f"the queue of notifications is {usage:.0%} full")


def connections(settings: Settings, seen: Database) -> Verdict:
    allowed, reserved, used = room(seen)
    needed = wanted_connections(settings)
    counted = f"{allowed - reserved} connections are for us and others, {used} are in use"
    if needed > allowed - reserved:
        return error(
            f"one ingest and {settings.http_workers} API processes may need {needed} connections: {counted}",
            "raise max_connections, or lower ORDERKEEP_DATABASE_POOL or ORDERKEEP_HTTP_WORKERS",
        )
    if used > (allowed - reserved) * 0.9:
        return warning(f"{counted}: few are left", "raise max_connections, or see who holds them")
    return ok(f"{counted}; one ingest and {settings.http_workers} API processes need up to {needed}")


def room(seen: Database) -> tuple[int, int, int]:
    """max_connections, how many of them are kept for superusers and others, and how many are in use."""
    names = ("superuser_reserved_connections", "reserved_connections")  # the second since PostgreSQL 16
    reserved = sum(int(seen.settings.get(name, "0")) for name in names)
    return int(seen.settings["max_connections"]), reserved, seen.activity["connections"]


def wanted_connections(settings: Settings) -> int:
    """What docs/operations.md says of each process, at most, reads on the primary, and one ingest."""
    ingest = settings.database_writers * 2 + bool(settings.rejects_retention_days)
    lists_rejects_events, following, restore, replay, post = 6, 2, 1, 4, 1
    api = settings.database_pool + lists_rejects_events + following + restore + replay + post
    return ingest + settings.http_workers * (api + (settings.cache != "memory"))


def transactions(_settings: Settings, seen: Database) -> list[Verdict]:
    found = []
    age, longest = seen.activity["oldest_transaction"], seen.activity["longest_seconds"]
    if age > OLDEST_TRANSACTIONS:
        found.append(
            error(f"{age:,} transactions since the last freeze; at 2 billion writes end", "run VACUUM")
        )
    elif age > OLD_TRANSACTIONS:
        found.append(warning(f"{age:,} transactions since the last freeze", "see why autovacuum is behind"))
    if seen.settings["autovacuum"] != "on":
        found.append(
            warning("autovacuum is off: dead rows and old transactions pile up", "set autovacuum = on")
        )
    if longest > LONG_SECONDS:
        found.append(
            warning(
                f"a transaction has been open for {longest / 3600:.1f} hours, and holds up vacuum",
                "end it: see xact_start in pg_stat_activity",
            )
        )
    return found or [ok(f"{age:,} transactions since the last freeze; none has been open for an hour")]


def clock(_settings: Settings, seen: Database) -> Verdict:
    ahead, unsure = seen.clock_ahead, seen.round_trip / 2
    if abs(ahead) - unsure > CLOCK_SECONDS:
        which = "ahead of" if ahead > 0 else "behind"
        return warning(
            f"PostgreSQL's clock is {abs(ahead):.1f} s {which} ours",
            "synchronise both (chrony, ntpd): times of receipt and delays are wrong by as much",
        )
    return ok(f"PostgreSQL's clock and ours differ by {abs(ahead):.3f} s, within {unsure:.3f} s")


def disk(_settings: Settings, seen: Database) -> Verdict:
    size = f"the database takes {seen.activity['bytes'] / GB:.2f} GB"
    folder = Path(seen.settings.get("data_directory") or "")
    if not (seen.activity["local"] and folder.is_absolute() and _visible(folder)):
        return ok(f"{size}; what its disk has left is not told to this user here")
    usage = shutil.disk_usage(folder)
    left = f"{size}; its disk has {usage.free / GB:.1f} GB left"
    if usage.free < usage.total * FREE_SHARE:
        return warning(left, "make room: PostgreSQL stops when the disk is full, and ingest waits")
    return ok(left)


def read_replica(_settings: Settings, both: tuple[Database, Database]) -> Verdict:
    writes, reads = both
    if (writes.server["system"], writes.server["database"]) != (
        reads.server["system"],
        reads.server["database"],
    ):
        return error(
            "ORDERKEEP_DATABASE_READ_URL and ORDERKEEP_DATABASE_URL lead to two different databases",
            "let both lead to one, or to a primary and its standby",
        )
    behind = reads.server["replayed_seconds_ago"] or 0.0
    if reads.server["standby"] and reads.server["replaying"] and behind > STANDBY_SECONDS:
        return warning(
            f"the standby that is read is {behind:.0f} s behind",
            "see what holds its replay up; what it lacks is asked of the primary",
        )
    return ok("reads and writes go to the same database")


def _visible(folder: Path) -> bool:
    try:
        return folder.exists()
    except OSError:
        return False
