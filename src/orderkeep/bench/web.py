"""wrk and h2load, which load a web server, and nginx, which is the limit; all are Debian packages."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from orderkeep.bench.programs import running
from orderkeep.embedded import ports
from orderkeep.errors import Fatal, ServerUnavailable

PACKAGES = {"wrk": "wrk", "nginx": "nginx-light", "h2load": "nghttp2-client"}
CONNECTIONS = 64
SCRIPT = Path(__file__).with_name("read_orders.lua")
MOST_BODY_BYTES = 4_000
"""A word of nginx's configuration has to fit into a buffer of 4,096 bytes (NGX_CONF_BUFFER)."""
_WORDS_SECONDS = 30.0
_KEPT = 0.95  # of a rate, the least that counts as kept
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin")  # where nginx is, and what a user's PATH may lack

_NGINX = """\
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    default_type application/json;
    server {{
        listen {host}:{port};
        location / {{ return 200 "{body}"; }}
    }}
}}
"""


class Load(Struct, frozen=True):
    """What wrk saw; `lost` requests had no answer, `refused` ones a status of 400 or more."""

    requests: int
    microseconds: int
    p50_us: int
    p99_us: int
    lost: int
    refused: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests * 1e6 / self.microseconds


def require(*programs: str) -> None:
    """Have them, by installing them where that can be done. Raises `ServerUnavailable`."""
    missing = [PACKAGES[program] for program in programs if _find(program) is None]
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        # RUNLEVEL=1 keeps invoke-rc.d from starting nginx as a service of the system (runlevel(8)).
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        subprocess.run(command, env=quiet, capture_output=True, check=False, process_group=0)
    if missing := [program for program in programs if _find(program) is None]:
        raise ServerUnavailable(f"{' and '.join(missing)} not found: on Debian, {' '.join(command)}")


def versions(*programs: str) -> dict[str, str]:
    """As they tell it."""
    option = {"wrk": "-v", "nginx": "-v", "h2load": "--version"}
    said = {name: _said([_found(name), option[name]]) for name in programs}
    return {name: found.group() for name, text in said.items() if (found := _VERSION.search(text))}


@contextmanager
def nginx(body_bytes: int, folder: Path) -> Iterator[str]:
    """The URL of an nginx with one worker that answers everything with the same body."""
    port = ports.choose(None, "nginx")
    body = "x" * min(body_bytes, MOST_BODY_BYTES)
    (folder / "nginx.conf").write_text(_NGINX.format(host=ports.HOST, port=port, body=body))
    options = ["-p", str(folder), "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]
    with running("nginx", [_found("nginx"), *options], folder) as program:
        deadline = time.monotonic() + _WORDS_SECONDS
        while not ports.accepts(port):
            program.check(deadline)
            time.sleep(0.01)
        yield f"http://{ports.HOST}:{port}"


def load(
    name: str,
    url: str,
    paths: Path,
    seconds: int,
    folder: Path,
    *,
    headers: Sequence[str] = (),
    connections: int = CONNECTIONS,
) -> Load:
    """Ask for the paths of a file for so long, over kept connections of one thread."""
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(SCRIPT)]
    options += [f"-H{header}" for header in headers]
    with running(name, [_found("wrk"), *options, url, "--", str(paths)], folder) as program:
        said = program.wait(seconds + _WORDS_SECONDS)
    try:
        return msgspec.json.decode(said.splitlines()[-1], type=Load)
    except (IndexError, msgspec.DecodeError):
        raise Fatal(f"wrk failed: {program.last_words()}") from None


def all_answered(name: str, load: Load) -> Load:
    """The load. Raises `Fatal` when a request of it had no answer, or was refused."""
    if unanswered := load.lost + load.refused:
        raise Fatal(f"{name}: {unanswered:,} of {load.requests:,} requests had no answer")
    return load


def load_evenly(name: str, url: str, paths: Path, rate: int, seconds: int, folder: Path) -> list[float]:
    """Ask for the paths of a file at an even rate, over kept connections of one thread.

    What each answer took, in milliseconds. Raises `Fatal` when the rate was not kept, or a request refused.
    """
    log = folder / f"{name}.tsv"
    options = ["--h1", "-t1", f"-c{CONNECTIONS}", f"-D{seconds}", f"--rps={rate / CONNECTIONS:g}"]
    options += [f"--base-uri={url}", f"--input-file={paths}", f"--log-file={log}"]
    with running(name, [_found("h2load"), *options], folder) as program:
        program.wait(seconds + _WORDS_SECONDS)
    # Lines of: microseconds since 1970, the status, microseconds until the answer was complete.
    answers = [line.split("\t") for line in log.read_text().splitlines()]
    log.unlink()
    if refused := sum(status != "200" for _, status, _ in answers):
        raise Fatal(f"{name}: {refused:,} of {len(answers):,} requests were not answered with 200")
    if len(answers) < _KEPT * rate * seconds:
        raise Fatal(f"{name}: {len(answers) / seconds:,.0f} requests a second were made, not {rate:,}")
    return [int(microseconds) / 1_000 for _, _, microseconds in answers]


def _find(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM_FOLDERS)))


def _found(program: str) -> str:
    found = _find(program)
    if found is None:
        raise ServerUnavailable(f"there is no {program}: install {PACKAGES[program]}")
    return found


def _said(command: list[str]) -> str:
    """What a program prints of itself; wrk ends with 1 after that."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()
