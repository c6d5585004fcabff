"""What is judged of the database users: each has what its role is meant to have, and no more."""

from collections.abc import Iterable

from orderkeep.settings import Settings

from .check import Verdict, error, ok, warning
from .database import INGEST_ROLE, READER_ROLE, Database, Right

_UNCHANGED = ("orders",)
"""What is written once and never changed: no role may, whoever granted it."""
_CHANGES = ("UPDATE", "DELETE", "TRUNCATE")
ROLES = 2


def ingest_user(_settings: Settings, seen: Database) -> list[Verdict]:
    found = _compared(seen, INGEST_ROLE)
    if not seen.abilities["temporary"]:
        found.append(
            error(
                f"{seen.server['user']} may make no temporary tables, which writing needs",
                f"grant temporary on database … to {INGEST_ROLE}",
            )
        )
    spoiled = [right for right in seen.rights if _changes_orders(right)]
    if spoiled:
        found.append(
            error(f"the role {INGEST_ROLE} has {_listed(spoiled)}", "revoke it: orders are never changed")
        )
    return found or [ok(f"{seen.server['user']} may do what {INGEST_ROLE} is for, and no more")]


def reading_user(_settings: Settings, seen: Database) -> list[Verdict]:
    found = _compared(seen, READER_ROLE)
    spoiled = [right for right in seen.rights if right.meant and right.privilege != "SELECT"]
    if spoiled:
        found.append(error(f"the role {READER_ROLE} has {_listed(spoiled)}", "revoke it: it is to read only"))
    return found or [ok(f"{seen.server['user']} may read, and nothing else")]


def owning_user(_settings: Settings, seen: Database) -> Verdict:
    user, abilities = seen.server["user"], seen.abilities
    if abilities["superuser"]:
        return warning(f"{user} is a superuser", "migrate as a user who owns this database and no more")
    if not abilities["owns_tables"]:
        return error(
            f"{user} does not own the tables, and cannot migrate them",
            "set ORDERKEEP_DATABASE_MIGRATE_URL to the user who made them",
        )
    if not seen.server["migrated"] and not abilities["creates_tables"]:
        return error(f"{user} may make no tables", f"grant create on schema public to {user}, or own it")
    if abilities["roles"] < ROLES and not abilities["creates_roles"]:
        return error(
            f"{user} may make no roles, and {INGEST_ROLE} and {READER_ROLE} are not there",
            f"alter role {user} createrole, or make the two as a superuser",
        )
    return ok(f"{user} may migrate")


def _compared(seen: Database, role: str) -> list[Verdict]:
    user = seen.server["user"]
    if seen.abilities["superuser"]:
        return [
            warning(f"{user} is a superuser, and may do anything", f"give a user of its own the role {role}")
        ]
    lacking = [right for right in seen.rights if right.meant and not right.allowed]
    beyond = [right for right in seen.rights if right.allowed and not right.meant]
    found = []
    if lacking:
        found.append(error(f"{user} lacks {_listed(lacking)}", f"grant {role} to {user}"))
    if beyond:
        found.append(
            warning(
                f"{user} may do more than {role}: {_listed(beyond)}",
                f"use a user who has that role alone: create user … in role {role}",
            )
        )
    return found


def _changes_orders(right: Right) -> bool:
    return right.meant and right.table in _UNCHANGED and right.privilege in _CHANGES


def _listed(rights: Iterable[Right]) -> str:
    """The first few, since the owner has them all."""
    names = [str(right) for right in rights]
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
