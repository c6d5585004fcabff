"""What an error of PostgreSQL, or of the way to it, means: about the data, the world or the set-up.

The classes are those of PostgreSQL's appendix "Error Codes": the first two characters of SQLSTATE.
"""

import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from orderkeep.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    DataRefused,
    Fatal,
    NotAllowed,
    NotMigrated,
    OrderkeepError,
    SchemaAtFault,
)
from orderkeep.refused_certificate import passes, why_refused

_ABOUT_DATA = ("22", "54")
_NOT_THERE = ("3D000", "3F000")
_MISSING_TABLE = ("42P01", "42703")


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the block raises as one of the three kinds of `orderkeep.errors`."""
    try:
        yield
    except OrderkeepError:
        raise
    except asyncpg.PostgresError as error:
        raise _from_server(error) from error
    except (OverflowError, struct.error, UnicodeError) as error:
        raise DataRefused(f"the value cannot be encoded for PostgreSQL: {error}") from error
    except asyncpg.ClientConfigurationError as error:
        raise ConfigurationError(f"the database URL cannot be used: {error}") from error
    except ssl.SSLCertVerificationError as error:
        text = why_refused("PostgreSQL", error, "sslrootcert=FILE in the database URL")
        raise (DatabaseUnavailable(text) if passes(error) else Fatal(text)) from error
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # TimeoutError is an OSError; asyncpg's InterfaceError means a connection that is gone.
        raise DatabaseUnavailable(f"PostgreSQL does not answer: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """One line, never empty: several of the standard errors have no text of their own."""
    return " ".join(str(error).split()) or type(error).__name__


def _from_server(error: asyncpg.PostgresError) -> OrderkeepError:
    state = error.sqlstate or ""
    text = describe(error)
    if state.startswith(_ABOUT_DATA):
        return DataRefused(f"{text} (SQLSTATE {state})")
    if state.startswith("28"):
        return Fatal(f"PostgreSQL refuses the user: {text}. Check the user and password in the database URL")
    if state in _NOT_THERE:
        return Fatal(f"{text}: create it, or correct the database URL")
    if state in _MISSING_TABLE:
        return NotMigrated(f"the database is not migrated ({text}): run `orderkeep migrate`")
    if state == "42501":
        return NotAllowed(
            f"{text}: grant the database user the role it needs, orderkeep_ingest or orderkeep_reader"
        )
    if state.startswith("42"):
        return Fatal(f"PostgreSQL refuses a statement: {text} (SQLSTATE {state})")
    if state.startswith("23"):
        return SchemaAtFault(f"a constraint refuses a valid order: {text} (SQLSTATE {state})")
    # What is left is about the world: 08 connection, 0A a plan from before a migration, 25 a standby now,
    # 40 deadlock, 53 resources, 55 locks, 57 shutdown, 58 I/O.
    return DatabaseUnavailable(f"PostgreSQL cannot do it now: {text} (SQLSTATE {state})")
