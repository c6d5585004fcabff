"""The commands: each parses, calls, and prints.

Whatever a command imports is imported by the command, so that `--help` answers at once.
"""

import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from orderkeep.bench import BenchName, run_bench
from orderkeep.cli_erase import erase
from orderkeep.cli_keys import keys
from orderkeep.cli_rejects import rejects
from orderkeep.errors import ConfigurationError, OrderkeepError, ServerUnavailable, Transient
from orderkeep.invocation import (
    EXIT_FATAL,
    EXIT_FOUND,
    EXIT_INTERRUPTED,
    EXIT_UNAVAILABLE,
    end,
    run,
    settings_in_force,
    take_settings,
    write_whole,
)

if TYPE_CHECKING:
    from orderkeep.publish.run import PublishReport

app = App(
    name="orderkeep",
    help="Takes orders from a message broker, keeps every one in PostgreSQL, serves them by id from memory.",
    help_epilogue="Every setting is a flag too: `--http-port 9090` is ORDERKEEP_HTTP_PORT=9090. "
    "`orderkeep config` lists them all.",
    help_format="markdown",
)
app.command(rejects)
app.register_install_completion_command()
app.command(keys)
app.command(erase)


def main() -> None:
    """Run the command of the command line, and exit: errors are one line on standard error."""
    write_whole()
    try:
        app(take_settings(sys.argv[1:]), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        end(f"{str(error).rstrip('.')}. See `orderkeep --help`", EXIT_FATAL)
    except (ServerUnavailable, Transient) as error:
        end(str(error), EXIT_UNAVAILABLE)
    except OrderkeepError as error:
        end(str(error), EXIT_FATAL)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, as `head` does
        sys.exit(EXIT_INTERRUPTED)


@app.command
def serve() -> None:
    """Run ingest and the API, each in a process of its own, until Ctrl-C.

    Example: `orderkeep serve --kafka-brokers kafka:9092 --database-url postgresql://…`
    """
    from orderkeep.compose import run_serve

    run(run_serve(settings_in_force(service=True)))


@app.command
def ingest(*, accept_gap: bool = False, fd: Annotated[int | None, Parameter(show=False)] = None) -> None:
    """Read the broker into PostgreSQL, until Ctrl-C. Run as many as the topic has partitions.

    Parameters
    ----------
    accept_gap: Go on although the broker deleted messages before they were stored, and record the gap.
    """
    from orderkeep.compose import run_ingest

    run(run_ingest(settings_in_force(service=True), _handed_down(fd), accept_gaps=accept_gap))


@app.command
def api(
    *,
    fd: Annotated[int | None, Parameter(show=False)] = None,
    worker: Annotated[Path | None, Parameter(show=False)] = None,
) -> None:
    """Serve orders over HTTP, and the page, until Ctrl-C."""
    from orderkeep.compose import run_api

    run(run_api(settings_in_force(service=True), _handed_down(fd), worker))


@app.command
def health(
    role: Literal["api", "ingest"] = "api",
    /,
    *,
    ready: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Ask a process of this machine whether it lives; exits with 1 when it does not.

    Examples: `orderkeep health`, `orderkeep health ingest --ready`, `orderkeep health --http-port 9090`

    Parameters
    ----------
    role
        Which one: the API at HTTP_HOST and HTTP_PORT, or ingest at INGEST_HOST and INGEST_PORT.
    ready
        Ask what it can do now: /health/ready instead of /health/live.
    """
    from orderkeep.probe import ask

    found = ask(settings_in_force(), role, ready=ready)
    if not found.well:
        end(found.text, EXIT_FOUND)
    print(found.text)


@app.command
def migrate() -> None:
    """Bring the database to the version that this program needs. Safe to run at any time."""
    from orderkeep.storage.migrate import migrate as bring_up

    url = settings_in_force().migrate_url
    applied = run(bring_up(url, say=print))
    print(f"{applied} migrations applied" if applied else "the database is up to date")


@app.command
def publish(
    *,
    count: int | None = None,
    rate: float | None = None,
    duration: Annotated[str | None, Parameter(name="--for")] = None,
    bad: str = "0%",
    file: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    seed: int | None = None,
) -> None:
    """Publish orders to the broker, to see the service work.

    Examples: `orderkeep publish --count 1000`, `orderkeep publish --rate 200 --for 1m --bad 2%`,
    `orderkeep publish --file model.json`, `orderkeep publish --file - < orders.jsonl`

    Parameters
    ----------
    count
        How many messages; without it and without --for, until Ctrl-C.
    rate
        Messages a second; as fast as can be without it.
    duration
        How long, such as 30s, 5m or 1h.
    bad
        The share of broken messages, of every kind in turn, such as 2%.
    file
        A file to send as one message, or - for one message a line of standard input.
    seed
        Makes the same orders again; a new one each time without it.
    """
    from orderkeep.compose import run_publish

    report = run_publish(
        settings_in_force(),
        file=file,
        seed=seed,
        bad=share(bad),
        count=count,
        rate=rate,
        seconds=None if duration is None else seconds(duration),
    )
    _print_report(report)


@app.command
def audit(*, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """Read the topic again and prove that every message has its outcome in the database.

    Exits with 1 when a message is missing.

    Parameters
    ----------
    as_json
        Print the report as one JSON object.
    """
    import msgspec

    from orderkeep.audit import audit as examine
    from orderkeep.audit import progress_bar
    from orderkeep.brokers import audited_topic

    settings = settings_in_force()
    with progress_bar(enabled=not as_json) as progress:
        report = run(examine(audited_topic(settings), database_url=settings.read_url, progress=progress))
    print(msgspec.json.encode(report).decode() if as_json else "\n".join(report.lines()))
    if not report.clean:
        sys.exit(EXIT_FOUND)


@app.command
def config(
    *, form: Annotated[Literal["table", "json", "env", "markdown"], Parameter(name="--format")] = "table"
) -> None:
    """Show every setting: its value in force, secrets masked, and what it means.

    Parameters
    ----------
    form
        table and json show the values in force; env and markdown write `.env.example` and `docs/settings.md`.
    """
    from orderkeep.settings_pages import show

    print(show(settings_in_force(), form), end="")


@app.command
def doctor(*, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """Look at the settings, this machine, PostgreSQL, the broker and Redis, and say what is wrong with them.

    Changes nothing. Exits with 0 when all is well, with 1 for warnings, with 2 for errors.

    Parameters
    ----------
    as_json
        Print the findings as one JSON object.
    """
    from orderkeep.doctor import Report, examine

    try:
        report = run(examine(settings_in_force()))
    except ConfigurationError as error:
        report = Report.of_mistakes([str(error), *error.others])
    print(report.json() if as_json else report.table(color=sys.stdout.isatty()))
    sys.exit(report.exit_code)


@app.command
def demo(
    *,
    broker: Literal["kafka", "jetstream", "stan"] | None = None,
    duration: Annotated[str | None, Parameter(name="--for")] = None,
    rate: float = 200,
    bad: str = "2%",
    reset: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    data: Path = Path(".orderkeep/demo"),
) -> None:
    """Start PostgreSQL, a broker, ingest, the API and a publisher, and watch them work.

    Examples: `orderkeep demo`, `orderkeep demo --for 20s --rate 1000 --json`, `orderkeep demo --reset`

    Parameters
    ----------
    broker
        The broker to run on; without it Apache Kafka, or NATS JetStream where Kafka cannot be had.
    duration
        Stop after so long, such as 20s: restarts the API in the middle, and at the end audits the topic and
        reads back what was published.
    rate
        Orders a second.
    bad
        The share of broken messages, such as 2%.
    reset
        Begin with empty servers; without it the orders of earlier runs are there.
    as_json
        Print the result as one JSON object, in the last line.
    data
        The folder of the servers' data.
    """
    if find_spec("psutil") is None:
        raise ConfigurationError("the demo starts servers of its own: install `orderkeep[embedded]`")
    from orderkeep.demo import Demo, run_demo

    for_seconds = None if duration is None else seconds(duration)
    what = Demo(broker=broker, seconds=for_seconds, rate=rate, bad=share(bad), as_json=as_json, data=data)
    if not run_demo(settings_in_force(), what, reset=reset):
        sys.exit(EXIT_FOUND)


@app.command
def bench(
    what: BenchName = "all",
    /,
    *,
    orders: int | None = None,
    stored: int = 1_000_000,
    output: Path | None = None,
) -> None:
    """Measure the service beside its limits, on servers of its own.

    Example: `orderkeep bench ingest --orders 300000 --output bench.json`

    Parameters
    ----------
    what
        get: beside a constant answer of nginx. misses: past the cache, by the size of the pool. rates: how
        long a GET takes at even rates. ingest: beside COPY of the same rows. latency: from the broker to an
        answer. restore: orders a second into the cache. memory: bytes of a cached order. growth: a large
        table beside a small one. all: these. shapes: COPY into large tables with other indexes. jetstream,
        stan: from these brokers, by one process and by two.
    orders
        How many orders to work on; without it each takes as many as its figures are given for.
    stored
        Orders of the large tables of growth, about 1.5 kB of the disk each, and of shapes, half a kilobyte.
    output
        A file for the figures, as JSON.
    """
    run_bench(what, orders=orders, stored=stored, output=output)


def seconds(text: str) -> float:
    """`20s`, `5m`, `1h` or a plain number of seconds. Raises `ConfigurationError`."""
    factors = {"s": 1.0, "m": 60.0, "h": 3600.0}
    factor = factors.get(text[-1:], 0.0)
    try:
        value = float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigurationError(f"{text!r} is no length of time: give 20s, 5m or 1h")
    return value


def share(text: str) -> float:
    """`2%` or `0.02`, as a number from 0 to 1. Raises `ConfigurationError`."""
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigurationError(f"{text!r} is no share: give a percentage such as 2%")
    return value


def _handed_down(fd: int | None) -> socket.socket | None:
    """The listening socket that a parent process opened for us."""
    return None if fd is None else socket.socket(fileno=fd)


def _print_report(report: "PublishReport") -> None:
    print(f"published {report.delivered:,} of {report.sent:,} messages in {report.seconds:.1f} s")
    if report.delivered < report.sent:
        sys.exit(EXIT_FOUND)
