"""Keys over HTTP: who may do what, and how soon every process knows that somebody may no longer."""

import asyncio
import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import get_args

import httpx
import pytest

from orderkeep.api.events import NO_LONGER
from orderkeep.embedded import PostgresServer
from orderkeep.keys import Scope, changing, make_key
from tests.conftest import Database, drop_database, make_database
from tests.orders import document
from tests.service import PATIENCE, Process, Service, run_command, wait_until

from .api_scene import ORDERS, api_only, store

KEYS: tuple[Scope, ...] = get_args(Scope)
READ, WRITE, ADMIN, METRICS = KEYS
OPEN = ("/", "/static/app.js", "/docs", "/openapi.json", "/health/live", "/health/ready")
NEEDED = {
    "GET /orders/a": READ,
    "HEAD /orders/a": READ,
    "GET /order/a": READ,
    "GET /order/order?order_uid=a": READ,
    "GET /orders/none": READ,
    "GET /orders": READ,
    "GET /orders/a/origin": READ,
    "GET /rejects": READ,
    "GET /events?limit=0": READ,
    "GET /asyncapi.json": READ,
    "POST /orders": WRITE,
    "GET /rejects/1": ADMIN,
    "POST /rejects/1/replay": ADMIN,
    "GET /state": ADMIN,
    "OPTIONS /orders": ADMIN,
    "GET /docs/schema": ADMIN,
    "GET /metrics": METRICS,
}
MISSES = 5
"""That a client may have at once where there are limits."""


@pytest.fixture(scope="module")
def database(migrated: PostgresServer) -> Iterator[Database]:
    made = make_database(migrated)
    yield made
    drop_database(made)


@pytest.fixture(scope="module")
def service(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An API process with keys, a file that commands and processes share."""
    asyncio.run(store(database, [*ORDERS.values(), b"garbage"]))
    folder = tmp_path_factory.mktemp("keys")
    service = api_only(folder, database, env={"ORDERKEEP_KEYS_FILE": str(folder / "keys.json")})
    new_key(service, "first", READ)
    service.start_api()
    yield service
    assert service.api.stop() == 0
    assert not service.api.events("request_failed")
    assert "Traceback" not in service.api.output()


@pytest.fixture(scope="module")
def limited(service: Service) -> Iterator[str]:
    """Where another process with the same keys answers, on all addresses and within limits."""
    flags = ["--http-host=0.0.0.0", "--http-port=0", f"--http-client-rate={MISSES / 10}"]
    other = Process(service.folder, "limited", ["api", *flags], service.env)
    yield other.start()["address"]
    assert other.stop() == 0


def is_refused(client: httpx.Client) -> bool:
    return client.get("/orders/a").status_code == 401


def new_key(service: Service, name: str, *scopes: Scope) -> dict[str, str]:
    """As the command makes it, which `test_commands` tries."""
    text, kept = make_key(name, scopes, None, datetime.now(UTC))
    with changing(Path(service.env["ORDERKEEP_KEYS_FILE"])) as keys:
        keys.append(kept)
    return {"id": kept.id, "key": text}


def by(key: dict[str, str]) -> dict[str, str]:
    return {"authorization": f"Bearer {key['key']}"}


def status(url: str, key: dict[str, str], path: str = "/orders/a") -> int:
    return httpx.get(url + path, headers=by(key), timeout=PATIENCE).status_code


def wait_for(url: str, key: dict[str, str], code: int) -> None:
    wait_until(lambda: status(url, key) == code, f"the key is answered with {code}")


def test_scopes(service: Service) -> None:
    """Each route is open to the keys of its scope, says which is missing, and what to send without a key."""
    keys = {scope: new_key(service, scope, scope) for scope in KEYS}
    wait_for(service.url, keys[READ], 200)
    with httpx.Client(base_url=service.url, timeout=PATIENCE) as client:
        for path in OPEN:
            assert client.get(path).status_code == 200, path
        for label, needed in NEEDED.items():
            method, path = label.split(" ")
            without = client.request(method, path)
            assert without.status_code == 401, label
            assert without.headers["www-authenticate"] == 'Bearer realm="orderkeep"'
            assert without.headers["content-type"] == "application/problem+json"
            for scope, key in keys.items():
                answer = client.request(method, path, headers=by(key))
                assert (answer.status_code == 403) is (scope != needed), (label, scope)
                assert answer.status_code != 401, (label, scope)
                if scope != needed and method != "HEAD":
                    assert answer.json()["detail"] == f"The key {key['id']} lacks the scope {needed}."
                    assert f'scope="{needed}"' in answer.headers["www-authenticate"]
        assert client.get("/health/ready").json().keys() == {"status", "keys"}
        assert "database" in client.get("/health/ready", headers=by(keys[READ])).json()
        described = client.get("/openapi.json").json()
    assert described["paths"]["/orders"]["post"]["security"] == [{"key": [WRITE]}]
    assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_who_did_it(service: Service) -> None:
    """The log has who posted an order and who replayed a reject, and never a key."""
    key = new_key(service, "auditor", WRITE, ADMIN)
    wait_for(service.url, key, 403)
    httpx.post(
        f"{service.url}/orders", json=document(order_uid="audited"), headers=by(key)
    ).raise_for_status()
    httpx.post(f"{service.url}/rejects/1/replay", headers=by(key), timeout=PATIENCE).raise_for_status()
    for event, what in (("order_posted", "audited"), ("reject_replayed", 1)):
        found = [line for line in service.api.events(event) if line.get("name") == "auditor"]
        assert [(line["key"], line.get("order_uid", line.get("reject_id"))) for line in found] == [
            (key["id"], what)
        ]
    assert key["key"].rpartition("_")[2] not in service.api.output()


def test_revoked(service: Service, limited: str) -> None:
    """Every process refuses a key that was revoked, on its own connections too, and cuts its streams."""
    key, other = new_key(service, "gone", READ), new_key(service, "stays", READ)
    for url in (service.url, limited):
        wait_for(url, other, 200)
    with (
        httpx.Client(base_url=service.url, headers=by(key), timeout=PATIENCE) as one,
        httpx.Client(base_url=limited, headers=by(key), timeout=PATIENCE) as two,
        one.stream("GET", "/events") as events,
    ):
        lines = events.iter_lines()
        assert next(lines).startswith("retry")
        for client in (one, two):
            assert [client.get("/orders/a").status_code for _ in range(4)] == [200] * 4
        revoked = service.command("keys", "revoke", key["id"])
        assert revoked.returncode == 0
        assert key["id"] in revoked.stdout
        for client in (one, two):
            wait_until(partial(is_refused, client), "it is refused")
        last = [line for line in lines if line]
        assert last[-2:] == ["event: bye", f'data: {{"reason":"{NO_LONGER}"}}']
    assert status(service.url, other) == status(limited, other) == 200


def test_commands(service: Service) -> None:
    """A key is printed once, works, and is listed without what recognises it."""
    made = service.command("keys", "new", "--name", "printed", "--expires", "90d")
    assert made.returncode == 0, made.stderr
    wait_for(service.url, {"key": made.stdout.strip()}, 200)
    listed = {one["name"]: one for one in json.loads(service.command("keys", "list", "--json").stdout)}
    one = listed["printed"]
    assert one["id"] in made.stderr
    assert (one["scopes"], one["state"]) == ([READ], "active")
    lifetime = datetime.fromisoformat(one["expires_at"]) - datetime.fromisoformat(one["created_at"])
    assert lifetime.days == 90
    assert not {"key", "sha256"} & one.keys()


def test_damaged_file(service: Service) -> None:
    """While the file is damaged nobody passes, which the log and the health say; mended, all do again."""
    key = new_key(service, "damage", READ)
    wait_for(service.url, key, 200)
    file = Path(service.env["ORDERKEEP_KEYS_FILE"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    try:
        wait_for(service.url, key, 401)
        ready = httpx.get(f"{service.url}/health/ready", timeout=PATIENCE)
        assert (ready.status_code, ready.json()) == (200, {"status": "degraded", "keys": "unreadable"})
        assert "is damaged" in service.api.events("keys_unreadable")[-1]["error"]
        assert service.command("keys", "new", "--name", "x").returncode == 2
    finally:
        file.write_bytes(content)
    wait_for(service.url, key, 200)


def test_limits(service: Service, limited: str) -> None:
    """What is not in memory may be asked for so often by one client; what is, as often as it likes."""
    key, other = new_key(service, "greedy", READ, METRICS), new_key(service, "modest", READ)
    with httpx.Client(base_url=limited, headers=by(key), timeout=PATIENCE) as client:
        wait_until(lambda: in_memory(client) >= len(ORDERS), "the key is known, and all are in memory")
        paths = cycle(("/orders/none", "/orders", "/rejects", "/orders/a/origin"))
        answers = [client.get(next(paths))]
        while answers[-1].status_code != 429:
            answers.append(client.get(next(paths)))
        assert len(answers) > MISSES
        assert {answer.status_code for answer in answers[:-1]} == {200, 404}
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert answers[-1].headers["content-type"] == "application/problem+json"
        assert {client.get("/orders/a").status_code for _ in range(5 * MISSES)} == {200}
        assert client.get("/metrics").status_code == 200
    assert status(limited, other, "/orders/none") == 404


def in_memory(client: httpx.Client) -> int:
    ready = client.get("/health/ready").json()
    return int(ready["cache"]["entries"]) if "cache" in ready else 0


@pytest.mark.parametrize("command", ["api", "serve"])
def test_no_file(service: Service, command: str, tmp_path: Path) -> None:
    """Without the file that is set nothing is started, whatever the address."""
    env = {**service.env, "ORDERKEEP_KEYS_FILE": "nowhere.json", "ORDERKEEP_HTTP_PORT": "0"}
    done = run_command(tmp_path, [command], env)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "orderkeep keys new" in done.stderr
