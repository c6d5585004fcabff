"""The commands as a beginner meets them: each mistake is one line that says what to do, and exit code 2, or 3
when a server does not answer."""

import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orderkeep.embedded import KafkaServer
from orderkeep.publish.generate import OrderGenerator
from tests.conftest import PASSWORD, Database
from tests.service import Service, run_command

from .conftest import MakeService

NOWHERE = "127.0.0.1:1"
"""Where nothing listens: the port is reserved (tcpmux)."""

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def env(kafka: KafkaServer, topic: str, database: Database) -> dict[str, str]:
    """Settings that are right in everything."""
    return {
        "ORDERKEEP_DATABASE_URL": database.ingest_url,
        "ORDERKEEP_DATABASE_MIGRATE_URL": database.owner_url,
        "ORDERKEEP_DATABASE_READ_URL": database.reader_url,
        "ORDERKEEP_KAFKA_BROKERS": kafka.bootstrap,
        "ORDERKEEP_KAFKA_TOPIC": topic,
        "ORDERKEEP_INGEST_PORT": "0",
        "ORDERKEEP_HTTP_PORT": "0",
    }


def check_one_line(done: Done, *words: str, codes: tuple[int, ...] = (2,)) -> None:
    """It ended with one line on standard error, which holds the words, and one of the exit codes."""
    logged = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert done.returncode in codes, done
    assert len(logged) == 1, done.stderr
    assert logged[0].startswith("orderkeep: ")
    for word in words:
        assert word in logged[0], logged[0]
    assert PASSWORD not in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_nobody_there(tmp_path: Path, env: dict[str, str]) -> None:
    """A database, or a broker, that does not answer is named; the password in its URL is not."""
    nowhere = f"postgresql://user:hidden-word@{NOWHERE}/orderkeep"
    urls = ("DATABASE_URL", "DATABASE_MIGRATE_URL", "DATABASE_READ_URL")
    no_database = {**env, **{f"ORDERKEEP_{name}": nowhere for name in urls}}
    no_broker = {**env, "ORDERKEEP_KAFKA_BROKERS": NOWHERE}
    runs = [
        *(([command], no_database, "PostgreSQL") for command in ("ingest", "api", "migrate")),
        *((command, no_broker, NOWHERE) for command in (["ingest"], ["audit"], ["publish", "--count", "1"])),
    ]
    with ThreadPoolExecutor(len(runs)) as at_once:  # each waits for ten seconds
        done = at_once.map(lambda run: run_command(tmp_path, run[0], run[1]), runs)
        for (_, _, word), ended in zip(runs, done, strict=True):
            check_one_line(ended, word, codes=(3,))
            assert "hidden-word" not in ended.stderr


@pytest.mark.parametrize("command", ["ingest", "api", "migrate"])
@pytest.mark.parametrize("mistake", ["password", "user", "database"])
def test_wrong_database(tmp_path: Path, env: dict[str, str], command: str, mistake: str) -> None:
    """A wrong password, user or name of the database is told from one another."""
    server = env["ORDERKEEP_DATABASE_URL"].rpartition("@")[2].partition("/")[0]
    login, _, rest = env["ORDERKEEP_DATABASE_URL"].removeprefix("postgresql://").partition("@")
    user, _, password = login.partition(":")
    database = rest.partition("/")[2]
    url = {
        "password": f"postgresql://{user}:hidden-word@{server}/{database}",
        "user": f"postgresql://nobody_knows:hidden-word@{server}/{database}",
        "database": f"postgresql://{user}:{password}@{server}/nowhere_to_be_found",
    }[mistake]
    changed = {
        f"ORDERKEEP_{name}": url for name in ("DATABASE_URL", "DATABASE_MIGRATE_URL", "DATABASE_READ_URL")
    }
    done = run_command(tmp_path, [command], {**env, **changed})
    check_one_line(done, "nowhere_to_be_found" if mistake == "database" else "password")
    assert "hidden-word" not in done.stderr


@pytest.mark.parametrize("command", ["ingest", "api", "audit"])
def test_not_migrated(tmp_path: Path, env: dict[str, str], empty_database: Database, command: str) -> None:
    """A database without the tables is to be migrated."""
    url = empty_database.owner_url
    done = run_command(
        tmp_path, [command], {**env, "ORDERKEEP_DATABASE_URL": url, "ORDERKEEP_DATABASE_READ_URL": url}
    )
    if command == "audit":
        check_one_line(done)
    else:
        check_one_line(done, "orderkeep migrate")


def test_user_without_rights(tmp_path: Path, env: dict[str, str], database: Database) -> None:
    """A user who may only read cannot run ingest, and is told which role is missing."""
    done = run_command(tmp_path, ["ingest"], {**env, "ORDERKEEP_DATABASE_URL": database.reader_url})
    check_one_line(done, "orderkeep_ingest")


@pytest.mark.parametrize("command", [["ingest"], ["audit"], ["publish", "--count", "1"]])
def test_wrong_topic(tmp_path: Path, env: dict[str, str], command: list[str]) -> None:
    """A topic that is not there, or cannot be, is named."""
    done = run_command(tmp_path, command, {**env, "ORDERKEEP_KAFKA_TOPIC": "nowhere"})
    check_one_line(done, "nowhere", "ORDERKEEP_KAFKA_TOPIC", codes=(2, 3))
    done = run_command(tmp_path, command, {**env, "ORDERKEEP_KAFKA_TOPIC": "no topic!"})
    check_one_line(done, "no topic!", codes=(2, 3))


@pytest.mark.parametrize(
    ("command", "setting"), [("ingest", "INGEST_PORT"), ("api", "HTTP_PORT"), ("serve", "HTTP_PORT")]
)
def test_port_taken(tmp_path: Path, env: dict[str, str], command: str, setting: str) -> None:
    """A port that another program listens on is named, with the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = run_command(tmp_path, [command], {**env, f"ORDERKEEP_{setting}": port})
    check_one_line(done, port, f"ORDERKEEP_{setting}")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("KAFKA_BROKER", "x", ["KAFKA_BROKER", "did you mean ORDERKEEP_KAFKA_BROKERS"]),
        ("nonsense_entirely", "x", ["nonsense_entirely"]),
        ("HTTP_PORT", "eighty", ["HTTP_PORT", "eighty"]),
        ("HTTP_PORT", "65536", ["HTTP_PORT"]),
        ("DATABASE_WRITERS", "0", ["DATABASE_WRITERS"]),
        ("DATABASE_URL", "mysql://user:hidden-word@host/orders", ["DATABASE_URL", "postgresql://"]),
        ("KAFKA_OPTIONS", "{not json", ["kafka_options"]),
        ("KAFKA_OPTIONS", '{"no.such.option": 1}', ["no.such.option"]),
        ("KAFKA_OPTIONS", '{"session.timeout.ms": "soon"}', ["session.timeout.ms"]),
        ("KAFKA_OPTIONS", '{"enable.auto.commit": true}', ["enable.auto.commit"]),
        ("KAFKA_OPTIONS", '{"group.protocol": "consumer", "session.timeout.ms": 9}', ["session.timeout.ms"]),
        ("LOG_LEVEL", "loud", ["LOG_LEVEL"]),
        ("SHUTDOWN_SECONDS", "-1", ["SHUTDOWN_SECONDS"]),
        ("CACHE", "elsewhere", ["CACHE"]),
    ],
)
def test_bad_setting(tmp_path: Path, env: dict[str, str], name: str, value: str, words: list[str]) -> None:
    """A setting that is misspelt or out of range is named with what is wrong, and no secret is shown."""
    done = run_command(tmp_path, ["ingest"], {**env, f"ORDERKEEP_{name}": value})
    check_one_line(done, *words)
    assert "hidden-word" not in done.stderr


@pytest.mark.parametrize("line", ["ORDERKEEP_KAFKA_BROKER=x", "ORDERKEEP_DATABASE_WRITERS=many"])
def test_bad_setting_in_a_file(tmp_path: Path, env: dict[str, str], line: str) -> None:
    """The same holds for what the file .env says."""
    (tmp_path / ".env").write_text(f"{line}\n")
    check_one_line(run_command(tmp_path, ["ingest"], env), line.partition("=")[0])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["launch"], "launch"),
        (["publish", "--for", "soon"], "soon"),
        (["publish", "--for", "-5s"], "--for"),
        (["publish", "--for", "0"], "0"),
        (["publish", "--count", "many"], "many"),
        (["publish", "--count", "-1"], "count"),
        (["publish", "--rate", "0", "--count", "1"], "rate"),
        (["publish", "--bad", "lots"], "lots"),
        (["publish", "--bad", "101%"], "101%"),
        (["publish", "--bad", "nan"], "nan"),
        (["publish", "--file", "nowhere.json"], "nowhere.json"),
        (["publish", "--nonsense"], "--nonsense"),
        (["ingest", "--http-port"], "--http-port"),
        (["ingest", "surplus"], "surplus"),
        (["config", "--format", "xml"], "xml"),
        (["demo", "--for", "x"], "x"),
        (["demo", "--broker", "carrier-pigeon"], "carrier-pigeon"),
        (["demo", "--rate", "fast"], "fast"),
    ],
)
def test_bad_command_line(tmp_path: Path, env: dict[str, str], arguments: list[str], word: str) -> None:
    """A command line that means nothing is refused before anything is done."""
    check_one_line(run_command(tmp_path, arguments, env), word)


@pytest.mark.parametrize("command", ["api", "serve", "demo"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_exposure_is_refused(tmp_path: Path, env: dict[str, str], command: str, host: str) -> None:
    """Nothing listens to the network without keys, unless the one who runs it says that it is guarded."""
    check_one_line(
        run_command(tmp_path, [command, "--http-host", host], env), host, "ORDERKEEP_HTTP_PROTECTED"
    )
    assert not list(tmp_path.iterdir())


def test_help(tmp_path: Path) -> None:
    """Help names every command, and every command has help."""
    done = run_command(tmp_path, ["--help"])
    assert done.returncode == 0
    for command in ("serve", "ingest", "api", "demo", "publish", "audit", "migrate", "bench", "config"):
        assert command in done.stdout
        assert run_command(tmp_path, [command, "--help"]).returncode == 0


@pytest.mark.parametrize("form", ["table", "json", "env", "markdown"])
def test_config_masks_secrets(tmp_path: Path, form: str) -> None:
    """The settings are shown as they are in force, without any password."""
    env = {
        "ORDERKEEP_DATABASE_URL": "postgresql://user:hidden-word@database.example:5432/orders",
        "ORDERKEEP_DATABASE_READ_URL": "postgresql://user@standby.example/orders?password=hidden-word",
        "ORDERKEEP_KAFKA_OPTIONS": '{"sasl.password": "hidden-word", "client.id": "shown"}',
        "ORDERKEEP_KAFKA_TOPIC": "shown-topic",
    }
    done = run_command(tmp_path, ["config", "--format", form], env)
    assert done.returncode == 0
    assert "hidden-word" not in done.stdout + done.stderr
    if form in ("table", "json"):
        assert "shown-topic" in done.stdout
        assert "database.example" in done.stdout
    if form == "json":
        assert json.loads(done.stdout)["ORDERKEEP_KAFKA_TOPIC"] == "shown-topic"


def test_settings_and_their_order(tmp_path: Path) -> None:
    """A flag is stronger than the environment, that than .env, and that than a default."""
    (tmp_path / ".env").write_text(
        "ORDERKEEP_KAFKA_TOPIC=from-file\nORDERKEEP_KAFKA_GROUP=from-file\nOTHER=x\n"
    )
    env = {"ORDERKEEP_KAFKA_TOPIC": "from-environment", "ORDERKEEP_HTTP_PORT": "1"}
    shown = run_command(tmp_path, ["config", "--format", "json", "--http-port=2"], env)
    values = json.loads(shown.stdout)
    assert values["ORDERKEEP_KAFKA_TOPIC"] == "from-environment"
    assert values["ORDERKEEP_KAFKA_GROUP"] == "from-file"
    assert (values["ORDERKEEP_HTTP_PORT"], values["ORDERKEEP_HTTP_WORKERS"]) == (2, 1)


def test_what_kubernetes_injects_is_no_mistake(tmp_path: Path) -> None:
    """Variables that Kubernetes makes for a service of this name are not taken for settings."""
    env = {
        "ORDERKEEP_SERVICE_HOST": "10.0.0.1",
        "ORDERKEEP_SERVICE_PORT": "80",
        "ORDERKEEP_SERVICE_PORT_HTTP": "80",
        "ORDERKEEP_PORT": "tcp://10.0.0.1:80",
        "ORDERKEEP_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert run_command(tmp_path, ["config"], env).returncode == 0


def test_migrate(tmp_path: Path, env: dict[str, str], empty_database: Database) -> None:
    """An empty database is migrated once; a second time there is nothing to do."""
    env |= {"ORDERKEEP_DATABASE_MIGRATE_URL": empty_database.owner_url}
    first = run_command(tmp_path, ["migrate"], env)
    assert first.returncode == 0, first.stderr
    assert "migrations applied" in first.stdout
    second = run_command(tmp_path, ["migrate"], env)
    assert (second.returncode, second.stdout) == (0, "the database is up to date\n")
    assert empty_database.value("select count(*) from orders") == 0


def test_publish_and_audit(make_service: MakeService, database: Database) -> None:
    """What is published is audited; an order whose row is gone makes the audit name it and exit with 1."""
    service = make_service()
    model = Path(__file__).parents[1] / "data" / "order.json"
    assert service.command("publish", "--count", "200", "--bad", "10%", "--seed", "3").returncode == 0
    assert service.command("publish", "--file", str(model)).returncode == 0
    maker = OrderGenerator(11)
    lines = [bytes(maker.order().payload or b"") for _ in range(3)]
    text = b"\n".join([*lines[:2], b"", b"not an order", lines[2]]).decode()
    done = run_command(service.folder, ["publish", "--file", "-"], service.env, stdin=text)
    assert (done.returncode, "published 4 of 4 messages" in done.stdout) == (0, True), done
    service.start_ingest()
    service.wait_until_acknowledged()
    report = service.audit()
    assert (report["exit_code"], report["messages"]) == (0, 205)
    uid = json.loads(model.read_bytes())["order_uid"]
    assert database.value("select payload::text from orders where order_uid = $1", uid) == model.read_text()
    for line in lines:
        uid = json.loads(line)["order_uid"]
        assert database.value("select payload::text from orders where order_uid = $1", uid) == line.decode()

    database.execute("delete from orders where order_uid = $1", uid)
    done = service.command("audit")
    assert done.returncode == 1
    assert uid in done.stdout
    report = service.audit()
    assert (report["exit_code"], report["missing"], report["problems"][0]["order_uid"]) == (1, 1, uid)


def test_audit_before_ingest(tmp_path: Path, env: dict[str, str]) -> None:
    """A group that has acknowledged nothing cannot be audited, and is told why."""
    check_one_line(run_command(tmp_path, ["audit", "--json"], env), "acknowledged nothing")


def test_publish_the_same_again(own_service: Service) -> None:
    """The same seed publishes the same orders, which are repeats."""
    own_service.start_ingest()
    for _ in range(2):
        assert own_service.command("publish", "--count", "50", "--seed", "9").returncode == 0
    own_service.wait_until_acknowledged()
    report = own_service.audit()
    assert (report["stored"], report["duplicate"], report["exit_code"]) == (50, 50, 0)
