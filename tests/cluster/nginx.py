"""nginx as a child process, with the project's own configuration."""

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # the package has no types of its own

from orderkeep.embedded import ports
from orderkeep.embedded.process import Child
from orderkeep.embedded.server import Server, silent
from orderkeep.errors import Fatal, ServerUnavailable

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx" / "orderkeep.conf"
RELOAD_SECONDS = 10.0
_EXAMPLE = re.compile(r"192\.0\.2\.\d+:8080")
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin")  # where nginx is, and what a user's PATH may lack
_MAIN = """\
daemon off;
worker_processes 2;
pid nginx.pid;
error_log stderr;
worker_shutdown_timeout 10s;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include {configuration};
}}
"""


class NginxServer(Server):
    """nginx in `data`, in front of the API's processes at `addresses`, each a host with a port."""

    name = "nginx"
    telling = ("[emerg]", "[crit]", "[error]")

    def __init__(self, data: Path, addresses: Sequence[str], say: Callable[[str], None] = silent) -> None:
        super().__init__(data, "nginx.log", None, say)
        self._addresses = list(addresses)

    def reload(self) -> None:
        """Let new workers take over with the configuration read anew; blocks until they have."""
        before = self._workers()
        assert self.pid is not None
        os.kill(self.pid, signal.SIGHUP)
        deadline = time.monotonic() + RELOAD_SECONDS
        while before & self._workers():
            if time.monotonic() > deadline:
                raise Fatal(f"nginx still has its old workers after {RELOAD_SECONDS:g} seconds")
            time.sleep(0.02)

    def stop(self) -> None:
        """Let it answer what is under way, and wait."""
        if self._child:
            self._child.stop((signal.SIGQUIT, 10.0), (signal.SIGTERM, 5.0))
        self._let_go()

    def _launch(self) -> Child:
        program = find()
        self.port = ports.choose(self.port or None, self.name)
        (self.data / "orderkeep.conf").write_text(
            for_addresses(CONFIGURATION.read_text(), f"{self.host}:{self.port}", self._addresses)
        )
        (self.data / "nginx.conf").write_text(_MAIN.format(configuration=self.data / "orderkeep.conf"))
        self._say(f"starting nginx on port {self.port}")
        return Child(
            [program, "-p", self.data, "-c", "nginx.conf", "-e", "stderr"],
            log=self.log,
            on_death=signal.SIGTERM,
            folder=self.data,
        )

    def _is_ready(self) -> bool:
        return ports.accepts(self.port)

    def _workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.pid).children()}


def find() -> str:
    """Where nginx is. Raises `ServerUnavailable` with the way to get it."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM_FOLDERS))
    if found := shutil.which("nginx", path=path):
        return found
    raise ServerUnavailable("There is no nginx. Install it: on Debian, apt-get install nginx-light")


def for_addresses(configuration: str, listen: str, addresses: Sequence[str]) -> str:
    """The configuration with where it listens and the API's addresses changed, as a reader is told to."""
    given = iter(addresses)
    return _EXAMPLE.sub(lambda _: next(given), configuration).replace("listen 80;", f"listen {listen};")
