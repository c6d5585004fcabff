"""`orderkeep erase`: remove the orders of a person, and keep them away."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from orderkeep.errors import ConfigurationError
from orderkeep.invocation import EXIT_FOUND, run, settings_in_force

if TYPE_CHECKING:
    from orderkeep.storage.erasure import ErasedOrder, Erasure, ErasureRequest

LONGEST_REASON = 200
"""Characters."""


def erase(
    *,
    uid: tuple[str, ...] = (),
    customer_id: tuple[str, ...] = (),
    file: Path | None = None,
    reason: str = "on request",
    yes: Annotated[bool, Parameter(negative="")] = False,
    show_list: Annotated[bool, Parameter(name="--list", negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Erase orders for good: they are not served, not listed, and not stored again when they come again.

    Shows what would go, and does it with --yes. Exits with 1 when there is no such order. Needs the owner of
    the tables: ORDERKEEP_DATABASE_MIGRATE_URL.

    Examples: `orderkeep erase --customer-id 4711`, `orderkeep erase --uid b563feb7b2b84b6test --yes`,
    `orderkeep erase --list > erased.txt`, `orderkeep erase --file erased.txt --yes`

    Parameters
    ----------
    uid
        An order; may be repeated.
    customer_id
        A customer, of whom all orders go that are stored now; may be repeated.
    file
        A file with a uid at the beginning of each line, as --list prints them. They need not be stored: what
        comes later is kept away.
    reason
        Kept beside the uid, such as the number of a ticket: nothing about the person.
    yes
        Do it; without, nothing is changed.
    show_list
        Print what was ever erased: uid, time and reason.
    as_json
        Print JSON: one object, with --list one array.
    """
    from msgspec import structs

    from orderkeep import reject_text

    if show_list:
        if uid or customer_id or file or yes:
            raise ConfigurationError("--list goes with --json alone")
        listed = run(_list())
        _say([reject_text.as_json(listed)] if as_json else map(_line, listed))
        return
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        raise ConfigurationError(f"--reason: at most {LONGEST_REASON} characters, in one line")
    found = run(_erase(_request(uid, customer_id, file), reason, yes=yes))
    if as_json:
        _say([reject_text.as_json({"done": yes, **structs.asdict(found)})])
    else:
        _say(_lines(found, done=yes))
    if found.unknown:
        sys.exit(EXIT_FOUND)


async def _list() -> "list[ErasedOrder]":
    from orderkeep.compose import eraser_of

    return await (await eraser_of(settings_in_force())).erased()


async def _erase(wanted: "ErasureRequest", reason: str, *, yes: bool) -> "Erasure":
    from orderkeep.compose import eraser_of

    eraser = await eraser_of(settings_in_force())
    return await eraser.erase(wanted, reason) if yes else await eraser.preview(wanted)


def _request(uids: Sequence[str], customer_ids: Sequence[str], file: Path | None) -> "ErasureRequest":
    from orderkeep.order import is_uid
    from orderkeep.storage.erasure import ErasureRequest

    if (file is not None) == bool(uids or customer_ids):
        raise ConfigurationError("give --uid, --customer-id or both; or --file alone")
    named = uids if file is None else _uids_in(file)
    for uid in named:
        if not is_uid(uid):
            raise ConfigurationError(f"{uid!r} is no uid of an order: nothing was erased")
    if any("\0" in customer_id for customer_id in customer_ids):
        raise ConfigurationError("no customer id holds the character NUL: nothing was erased")
    return ErasureRequest(named, customer_ids, ahead=file is not None)


def _uids_in(file: Path) -> list[str]:
    """What each line begins with, as `_line` writes it."""
    try:
        return [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from None


def _line(erased: "ErasedOrder") -> str:
    return f"{erased.order_uid}\t{erased.erased_at:%Y-%m-%dT%H:%M:%SZ}\t{erased.reason}"


def _lines(found: "Erasure", *, done: bool) -> Iterator[str]:
    """Uids and numbers, and nothing else of an order: what is printed may be kept."""
    verb = "erased" if done else "would be erased"
    yield from (f"order {uid}: {verb}" for uid in found.orders)
    yield from (f"order {uid}: not stored, {'kept' if done else 'would be kept'} away" for uid in found.ahead)
    yield from (f"order {uid}: erased before" for uid in found.again)
    yield from (f"reject {number}: what it holds {verb}" for number in found.rejects)
    yield from (f"order {uid}: there is none" for uid in found.unknown)
    yield f"{len(found.orders):,} orders and what {len(found.rejects):,} rejects hold {verb}"
    if not done:
        yield "nothing was changed: to do it, add --yes"


def _say(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()
