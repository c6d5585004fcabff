"""Every error that Orderkeep raises on purpose; the three kinds decide what happens next.

OrderkeepError
├── Rejected               about the message: kept in rejected_messages with its reason, then acknowledged
│   └── DataRefused        PostgreSQL refused a value: the batch is split until the message stands alone
├── OrderErased            about an order: it was erased on request; HTTP answers 410
├── Transient              about the world: retried for ever with jittered backoff, nothing is rejected
│   ├── DatabaseUnavailable
│   │   ├── OutcomeUnknown     a COMMIT was not answered: the batch is written again and finds itself
│   │   └── SchemaAtFault      a constraint refused a valid order (class 23): fatal after a few tries
│   ├── BrokerUnavailable
│   ├── CacheUnavailable   Redis does not answer, or says no: reading goes on without it
│   └── Overloaded         too many reads wait for the database: HTTP answers 503 with Retry-After
└── Fatal                  about the set-up: the process stops and the one-line message says what to do
    ├── ConfigurationError
    ├── NotMigrated
    ├── DatabaseWentBack   it lacks what it had confirmed: ingest begins again from where it is
    ├── OffsetGone         messages that nobody has read are no longer in the topic
    └── ServerUnavailable  a server that was to be started, or has to be there, cannot be had
"""

from collections.abc import Sequence
from typing import Literal

RejectKind = Literal[
    "tombstone",
    "empty",
    "too_large",
    "not_utf8",
    "not_json",
    "too_deep",
    "nul",
    "lone_surrogate",
    "invalid",
    "database",
    "conflict",
]
"""Why a message was kept aside; `docs/rejects.md` says what each means to a person."""


class OrderkeepError(Exception):
    """The root of the tree: nothing raises it itself."""


class Rejected(OrderkeepError):
    """The message is not an order, and never will be.

    `kind` is one of `RejectKind`; `reason` is for people, with the path of the field where there is one.
    """

    def __init__(self, kind: RejectKind, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind: RejectKind = kind
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


class DataRefused(Rejected):
    """PostgreSQL, or the encoding of a value for it, refused something in the batch (SQLSTATE 22, 54)."""

    def __init__(self, reason: str) -> None:
        super().__init__("database", reason)


class OrderErased(OrderkeepError):
    """The order was erased because somebody asked for it: it is not there, and does not come back."""

    def __init__(self, order_uid: str) -> None:
        super().__init__(f"The order {order_uid!r} was erased.")


class Transient(OrderkeepError):
    """A neighbour is away, slow or full; the same call may succeed later."""


class DatabaseUnavailable(Transient):
    """PostgreSQL cannot be reached, cannot write now, or took the connection away."""


class OutcomeUnknown(DatabaseUnavailable):
    """A COMMIT failed, warned or was cut off: the batch may or may not be stored."""


class SchemaAtFault(DatabaseUnavailable):
    """A constraint, not the uid's uniqueness, refused a valid order: our schema's fault, no message's."""


class BrokerUnavailable(Transient):
    """The broker cannot be reached, or is busy electing, rebalancing or starting."""


class CacheUnavailable(Transient):
    """Redis does not answer, or says no; whoever asks it goes on without it."""


class Overloaded(Transient):
    """The bounded number of concurrent database reads is used up."""


class Fatal(OrderkeepError):
    """Something that only a person can change; the message says what and how."""


class ConfigurationError(Fatal):
    """A setting is missing, misspelt, out of range or at odds with another; `others` are wrong besides."""

    def __init__(self, message: str, *, others: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.others = list(others)


class NotMigrated(Fatal):
    """The database lacks the tables, or a version of them, that this program needs."""


class NotAllowed(Fatal):
    """The database user lacks a right."""


class DatabaseWentBack(Fatal):
    """The database lacks what it had confirmed, after a failover or a restore: positions are read anew."""


class OffsetGone(Fatal):
    """The next message to read has been deleted from the topic: `missing` says how many, when it is known."""

    def __init__(self, message: str, *, missing: int | None = None) -> None:
        super().__init__(message)
        self.missing = missing


class ServerUnavailable(Fatal):
    """A server cannot be started, or a needed one cannot be reached at start."""
