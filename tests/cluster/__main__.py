"""Everything several times, on this machine and under load, while each part is restarted in turn.

Three brokers, three processes of ingest, PostgreSQL with a synchronous standby, three processes of the API
behind nginx, and Valkey. At the end the audit, and every order read back through nginx.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from orderkeep.bench import web
from orderkeep.embedded import remove
from orderkeep.errors import Fatal
from tests.cluster.report import Report
from tests.cluster.run import Run

RATE, BAD = 300.0, 0.02
INTERRUPTED = 130


def main() -> int:
    """Exit code: 0 when nothing was lost and no read failed, 1 else, 2 without servers, 130 interrupted."""
    arguments = _arguments()
    console = Console(highlight=False, stderr=arguments.json)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        web.require("nginx")
        report = _run(arguments, console)
    except Fatal as error:
        console.print(f"the cluster could not be had: {error}", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print("interrupted; everything is stopped")
        return INTERRUPTED
    except AssertionError as error:
        console.print(f"FAILED: {error}\nlogs: {arguments.logs}", markup=False)
        return 1
    if arguments.json:
        sys.stdout.write(json.dumps(report.as_json()) + "\n")
    console.print(report.table())
    for line in report.lines():
        console.print(line, markup=False)
    return 0 if report.ok else 1


def _run(arguments: argparse.Namespace, console: Console) -> Report:
    arguments.logs.mkdir(parents=True, exist_ok=True)
    logs = arguments.logs.resolve()
    with _data_folder() as folder, ExitStack() as shown:
        run = Run(
            folder,
            logs,
            rate=arguments.rate,
            bad=arguments.bad,
            seed=arguments.seed,
            seconds=arguments.seconds,
            say=lambda text: console.print(text, markup=False),
        )
        if console.is_terminal:
            line = Live(console=console, transient=True, get_renderable=lambda: Text(run.status()))
            shown.enter_context(line)
        run.go()
        return run.report


@contextmanager
def _data_folder() -> Iterator[Path]:
    """A folder that every user can enter, since PostgreSQL does not run as root; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="orderkeep-cluster-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for data in [*folder.glob("kafka/node-*"), *folder.iterdir()]:
            remove(data)
        shutil.rmtree(folder, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    add = parser.add_argument
    add(
        "--seconds",
        type=float,
        default=0.0,
        help="begin no other round of restarts after so long (default: one round)",
    )
    add("--rate", type=float, default=RATE, help=f"messages a second (default: {RATE:g})")
    add("--bad", type=float, default=BAD, help=f"share of broken messages (default: {BAD:g})")
    add("--seed", type=int, default=1, help="of the messages and of what is read (default: 1)")
    add("--json", action="store_true", help="print what was found as one object, the rest on standard error")
    default = Path(".orderkeep/cluster")
    add("--logs", type=Path, default=default, metavar="FOLDER", help=f"of the processes (default: {default})")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
