"""`orderkeep rejects`: list, show, replay and export the messages that were kept aside."""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from orderkeep.errors import ConfigurationError, RejectKind
from orderkeep.invocation import EXIT_INTERRUPTED, run, settings_in_force

if TYPE_CHECKING:
    from orderkeep.ingest.replay import Replay
    from orderkeep.storage.rejects import Reject, RejectFilter, RejectSummary

LARGEST_ID = 2**63 - 1

rejects = App(
    name="rejects",
    help="Work with the messages that were kept aside, because they are no orders or contradict one.",
    help_format="markdown",
)

Id = Annotated[int, Parameter(validator=Number(gte=1, lte=LARGEST_ID))]
Json = Annotated[bool, Parameter(name="--json", negative="")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Which:
    """The options that say which rejects are meant."""

    kind: RejectKind | None = None
    "Only of this kind."

    topic: str | None = None
    "Only of this topic."

    since: str | None = None
    "Not older than: 1h, 7d, or a time such as 2026-11-21 (in UTC unless it says otherwise)."

    until: str | None = None
    "Older than, written like --since."


@rejects.command(name="list")
def show_list(
    *,
    which: Which | None = None,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))] = 50,
    as_json: Json = False,
) -> None:
    """List the newest rejects, without what they hold.

    Examples: `orderkeep rejects list`, `orderkeep rejects list --kind conflict --since 1h`

    Parameters
    ----------
    limit
        How many at most.
    as_json
        Print one JSON array.
    """
    from orderkeep import reject_text

    found = run(_newest(_filter(which), limit))
    if as_json:
        _say([reject_text.as_json(found)])
    elif found:
        _say(reject_text.table(found, _width()))
    else:
        _say(["no rejects"])


@rejects.command
def show(
    reject_id: Id,
    /,
    *,
    as_hex: Annotated[bool, Parameter(name="--hex", negative="")] = False,
    as_json: Json = False,
) -> None:
    """Show one reject whole: the reason, where it came from, and its payload. It may hold personal data.

    For a conflict, it is shown beside the order that is stored.

    Examples: `orderkeep rejects show 17`, `orderkeep rejects show 17 --hex`

    Parameters
    ----------
    reject_id
        The number that `list` shows.
    as_hex
        The payload in hex, also where it is text.
    as_json
        Print one JSON object, with the exact bytes as text or in base64.
    """
    from orderkeep import reject_text
    from orderkeep.reject_document import document

    found = run(_one(reject_id))
    _say([reject_text.as_json(document(found))] if as_json else reject_text.page(found, as_hex=as_hex))


@rejects.command
def replay(
    *reject_ids: Id,
    every: Annotated[bool, Parameter(name="--all", negative="")] = False,
    which: Which | None = None,
    as_json: Json = False,
) -> None:
    """Put rejects through the pipeline again, after the rules of an order or the database have changed.

    What is an order now is stored; what is none stays a reject, and a conflict a conflict. To repeat it does
    no harm: nothing is stored twice, and no reject is added, changed or deleted.

    Examples: `orderkeep rejects replay 17 18`, `orderkeep rejects replay --all --kind database --since 1d`

    Parameters
    ----------
    reject_ids
        The numbers that `list` shows.
    every
        All rejects, or all that the options name.
    as_json
        Print one JSON object.
    """
    from orderkeep import reject_text
    from orderkeep.compose import run_replay

    if bool(reject_ids) == every or (reject_ids and which):
        raise ConfigurationError("give numbers of rejects, or --all with or without --kind, --topic, --since")
    told: list[Replay] = []
    with _bar("replaying", enabled=every and not as_json) as advance:

        def hear(replayed: "Replay", total: int) -> None:
            advance(total)
            if reject_ids:
                told.append(replayed)

        report = run(run_replay(settings_in_force(), reject_ids, _filter(which), hear))
    if as_json:
        _say([reject_text.as_json({"replayed": report.total, "outcomes": report.outcomes, "rejects": told})])
    else:
        _say(f"reject {one.reject_id}: {one.outcome}, {reject_text.printable(one.detail)}" for one in told)
        counts = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(report.outcomes.items()))
        _say([f"{report.total:,} replayed{': ' if counts else ''}{counts}"])
    if report.interrupted:
        sys.exit(EXIT_INTERRUPTED)


@rejects.command
def export(
    *, which: Which | None = None, output: Annotated[str, Parameter(allow_leading_hyphen=True)] = "-"
) -> None:
    """Write rejects whole, as one JSON object a line, oldest first. They may hold personal data.

    `text` or `base64` is the payload; key and headers are written in the same way. Rejects whose content was
    discarded are left out.

    Examples: `orderkeep rejects export --output rejects.jsonl`, `orderkeep rejects export --since 1d | jq`

    Parameters
    ----------
    output
        A file, which is replaced, or made for its owner alone; - is standard output.
    """
    count, discarded = run(_export(_filter(which), output))
    left_out = f"; {discarded:,} left out, their content was discarded" if discarded else ""
    sys.stderr.write(f"{count:,} rejects exported{left_out}\n")


async def _newest(wanted: "RejectFilter", limit: int) -> "list[RejectSummary]":
    from orderkeep.compose import rejects_for_reading

    async with rejects_for_reading(settings_in_force()) as store:
        return await store.page(wanted, limit)


async def _one(reject_id: int) -> "Reject":
    from orderkeep.compose import rejects_for_reading

    async with rejects_for_reading(settings_in_force()) as store:
        found = await store.get(reject_id)
    if found is None:
        raise ConfigurationError(
            f"there is no reject {reject_id}: `orderkeep rejects list` shows those there are"
        )
    return found


async def _export(wanted: "RejectFilter", output: str) -> tuple[int, int]:
    """How many were written, and how many were left out: nothing is left of them to write."""
    from orderkeep.compose import rejects_for_reading
    from orderkeep.reject_document import document
    from orderkeep.reject_text import as_json

    count = discarded = 0
    async with rejects_for_reading(settings_in_force()) as store:
        with _destination(output) as file:
            async for reject in store.iterate(wanted):
                if reject.discarded_at is not None:
                    discarded += 1
                    continue
                file.write(as_json(document(reject)).encode() + b"\n")
                count += 1
    return count, discarded


def _filter(which: Which | None) -> "RejectFilter":
    from orderkeep.moment import moment
    from orderkeep.storage.rejects import RejectFilter

    which, now = which or Which(), datetime.now(UTC)
    try:
        since, until = (None if text is None else moment(text, now) for text in (which.since, which.until))
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    return RejectFilter(which.kind, which.topic, since, until)


@contextmanager
def _destination(output: str) -> Iterator[IO[bytes]]:
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from None


@contextmanager
def _bar(what: str, *, enabled: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal: call what it yields for each one done of a total."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (enabled and console.is_terminal)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda total: bar.update(task, advance=1, total=total)


def _width() -> int | None:
    """The columns of the terminal; None where the output is no terminal, and nothing needs to be cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _say(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()
