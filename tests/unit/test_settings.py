"""Where settings come from, which one wins, and what is said of a wrong one."""

import json
from pathlib import Path

import pytest
import structlog.testing

from orderkeep import invocation
from orderkeep.errors import ConfigurationError
from orderkeep.settings import Settings, variable
from orderkeep.settings_load import load, old_names_in_use
from orderkeep.settings_masked import mask_url, masked
from orderkeep.settings_names import RENAMED

DEFAULTS = {
    name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and an environment without settings."""
    import os

    for name in os.environ:
        if name.upper().startswith("ORDERKEEP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal() -> str:
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults() -> None:
    """Without any setting the defaults are in force, and each of them is valid."""
    assert load().model_dump() == DEFAULTS
    assert Settings.model_validate(DEFAULTS).model_dump() == DEFAULTS


def test_every_setting_is_described() -> None:
    """Every setting says what it means, in a sentence, without a value that is a secret."""
    assert all((field.description or "").strip() for field in Settings.model_fields.values())


def test_precedence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag is stronger than the environment, that than the `.env` file, and that than the default."""
    assert load().http_port == 8080
    (folder / ".env").write_text("ORDERKEEP_HTTP_PORT=1111\nOTHER=1\n")
    assert load().http_port == 1111
    monkeypatch.setenv("ORDERKEEP_HTTP_PORT", "2222")
    assert load().http_port == 2222
    assert load({"http_port": "3333"}).http_port == 3333
    assert load({"http_port": None}).http_port == 2222


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["http://127.0.0.1:8081"]),
        ({"ingest_port": 0}, []),
        ({"ingest_host": "::1", "ingest_port": 9}, ["http://[::1]:9"]),
        ({"ingest_urls": " http://a:1/, http://b:2 "}, ["http://a:1", "http://b:2"]),
    ],
)
def test_where_ingest_is_asked(given: dict[str, object], expected: list[str]) -> None:
    """Ingest is asked where it is said to be, else where it listens, if its port is known."""
    assert load(given).ingest_health == expected


def test_ingest_is_asked_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no address of HTTP is refused at the start."""
    monkeypatch.setenv("ORDERKEEP_INGEST_URLS", "file:///etc/passwd")
    assert "ORDERKEEP_INGEST_URLS" in refusal()


def test_names_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """The case of a variable's name does not matter."""
    monkeypatch.setenv("orderkeep_kafka_topic", "parcels")
    assert load().kafka_topic == "parcels"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ORDERKEEP_HTTP_PROT", "ORDERKEEP_HTTP_PORT"),
        ("ORDERKEEP_DATABASE_ULR", "ORDERKEEP_DATABASE_URL"),
        ("orderkeep_kafka_broker", "ORDERKEEP_KAFKA_BROKERS"),
        ("ORDERKEEP_HTTP_PORT_", "ORDERKEEP_HTTP_PORT"),
    ],
)
def test_misspelt_name(name: str, meant: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt name is refused with the one that was meant, in the environment and in the file."""
    with monkeypatch.context() as patch:
        patch.setenv(name, "1")
        assert f"there is no setting {name}" in refusal()
        assert meant in refusal()
    (folder / ".env").write_text(f"{name}=1\n")
    assert meant in refusal()


def test_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resembles none is refused too, with the command that lists them all."""
    monkeypatch.setenv("ORDERKEEP_ZZZZZZZZZZZZZZ", "1")
    assert "`orderkeep config`" in refusal()


@pytest.mark.parametrize(
    "name",
    [
        "ORDERKEEP_SERVICE_HOST",
        "ORDERKEEP_SERVICE_PORT",
        "ORDERKEEP_SERVICE_PORT_HTTP",
        "ORDERKEEP_PORT",
        "ORDERKEEP_PORT_8080_TCP",
        "ORDERKEEP_PORT_8080_TCP_ADDR",
        "ORDERKEEP_PORT_8080_TCP_PORT",
        "ORDERKEEP_PORT_8080_TCP_PROTO",
        "ORDERKEEP_TEST_REQUIRE",
        "ORDERKEEPER_HTTP_PROT",
    ],
)
def test_names_that_are_not_ours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Kubernetes injects for a service named orderkeep is no misspelt setting."""
    monkeypatch.setenv(name, "tcp://10.0.0.1:8080")
    assert load().model_dump() == DEFAULTS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_port", "eighty"),
        ("http_port", "65536"),
        ("http_port", "-1"),
        ("shutdown_seconds", "0"),
        ("cache_max_orders", "0"),
        ("cache_max_bytes", "-1"),
        ("http_workers", "0"),
        ("source", "rabbits"),
        ("log_level", "loud"),
        ("kafka_options", "{not json"),
        ("kafka_options", "[1]"),
        ("database_url", "mysql://user@host/database"),
        ("http_protected", "perhaps"),
    ],
)
def test_wrong_value(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value of the wrong kind or out of range is one line that names the setting."""
    monkeypatch.setenv(variable(name), value)
    assert name in refusal().lower()


def test_flag_of_an_object() -> None:
    """A setting that is a JSON object is one as a flag as well."""
    assert load({"kafka_options": '{"security.protocol": "ssl"}'}).kafka_options == {
        "security.protocol": "ssl"
    }


def test_object_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that is an object is given as JSON."""
    monkeypatch.setenv("ORDERKEEP_KAFKA_OPTIONS", '{"a": 1}')
    assert load().kafka_options == {"a": 1}


def test_database_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URLs for reading and for migrating are the one for writing, unless they are given."""
    monkeypatch.setenv("ORDERKEEP_DATABASE_URL", "postgres://a@h/d")
    assert (load().read_url, load().migrate_url) == ("postgres://a@h/d", "postgres://a@h/d")
    monkeypatch.setenv("ORDERKEEP_DATABASE_READ_URL", "postgresql://b@h/d")
    monkeypatch.setenv("ORDERKEEP_DATABASE_MIGRATE_URL", "postgresql://c@h/d")
    assert (load().read_url, load().migrate_url) == ("postgresql://b@h/d", "postgresql://c@h/d")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret@host:5432/database",
        "postgresql://user:s3cret@one:1,two:2/database?target_session_attrs=read-write",
        "postgresql://user@host/database?password=s3cret&sslmode=require",
        "postgresql://user:s3cr@et:s3cret@host/database",
        "postgresql://user:s3cret/s3cret@host/database",
        "postgresql://user:s3cret?s3cret@host/database",
        "postgresql://user:s3cret#s3cret@host/database",
        "postgres://:s3cret@host",
    ],
)
def test_passwords_in_urls(url: str) -> None:
    """A password in a URL is never shown, even one that should have been escaped; the rest is."""
    assert "s3cret" not in mask_url(url)
    assert "***" in mask_url(url)
    assert "host" in mask_url(url) or "one:1,two:2" in mask_url(url)


@pytest.mark.parametrize(
    "url", ["postgresql://user@host:5432/database", "postgresql:///database", "postgresql://host"]
)
def test_urls_without_a_password(url: str) -> None:
    """A URL without a password is shown as it is."""
    assert mask_url(url) == url


def test_masked() -> None:
    """The settings in force are shown without passwords and credentials."""
    settings = load(
        {
            "database_url": "postgresql://user:s3cret@host/database",
            "nats_url": "nats://s3cret@one:4222,tls://user:s3cret@two:4222",
            "kafka_options": {
                "sasl.password": "s3cret",
                "ssl.key.pem": "s3cret",
                "ssl.key.password": "s3cret",
                "sasl.oauthbearer.client.secret": "s3cret",
                "security.protocol": "sasl_ssl",
            },
        }
    )
    shown = json.dumps(masked(settings))
    assert "s3cret" not in shown
    assert "sasl_ssl" in shown
    assert "user:***@host" in shown
    assert masked(settings).keys() == Settings.model_fields.keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", "mysql://user:s3cret@host/database"),
        ("nats_url", "nats://one:4222,http://user:s3cret@host"),
        ("kafka_options", '["s3cret"]'),
        ("kafka_options", '{"sasl.password": "s3cret"'),
    ],
)
def test_no_secret_in_a_refusal(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused value that may hold a password is not repeated."""
    monkeypatch.setenv(variable(name), value)
    assert "s3cret" not in refusal()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"redis_url": "localhost:6379"}, "ORDERKEEP_REDIS_URL: a URL like redis://"),
        ({"cache": "redis", "cache_max_orders": 100}, "ORDERKEEP_CACHE_MAX_ORDERS: Redis is bounded by"),
        ({"cache": "disk"}, "ORDERKEEP_CACHE: "),
        ({"redis_deadline_seconds": 0}, "ORDERKEEP_REDIS_DEADLINE_SECONDS: "),
    ],
)
def test_wrong_settings_of_the_cache(flags: dict[str, object], reason: str) -> None:
    """What cannot be, or cannot be with another, is refused by its name."""
    with pytest.raises(ConfigurationError) as caught:
        load(flags)
    assert str(caught.value).startswith(reason)


def test_every_mistake() -> None:
    """All that is wrong is told: the first as the error, the rest beside it."""
    with pytest.raises(ConfigurationError) as caught:
        load({"http_port": "eighty", "log_level": "loud"})
    assert str(caught.value).startswith("ORDERKEEP_HTTP_PORT: ")
    assert [other.partition(":")[0] for other in caught.value.others] == ["ORDERKEEP_LOG_LEVEL"]


def test_renamed_settings_are_there() -> None:
    """Every old name leads to a setting, and is none itself."""
    assert set(RENAMED.values()) <= Settings.model_fields.keys()
    assert not RENAMED.keys() & Settings.model_fields.keys()


def test_old_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that got another name goes on working under the old one, wherever that is given."""
    monkeypatch.setitem(RENAMED, "listen_port", "http_port")
    (folder / ".env").write_text("ORDERKEEP_LISTEN_PORT=1111\n")
    assert load().http_port == 1111
    monkeypatch.setenv("orderkeep_listen_port", "2222")
    assert load().http_port == 2222
    assert load({"listen_port": "3333"}).http_port == 3333
    assert old_names_in_use() == ["listen_port"]


def test_old_name_and_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where both names are given the new one counts: programs of two versions may run side by side."""
    monkeypatch.setitem(RENAMED, "listen_port", "http_port")
    monkeypatch.setenv("ORDERKEEP_LISTEN_PORT", "1111")
    monkeypatch.setenv("ORDERKEEP_HTTP_PORT", "2222")
    assert load().http_port == 2222
    assert load({"http_port": "3333"}).http_port == 3333


def test_wrong_value_of_an_old_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with a value that is given by an old name is told by the new one."""
    monkeypatch.setitem(RENAMED, "listen_port", "http_port")
    monkeypatch.setenv("ORDERKEEP_LISTEN_PORT", "eighty")
    assert refusal().startswith("ORDERKEEP_HTTP_PORT: ")


def test_old_name_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that starts with an old name, of a variable or a flag, warns and says the new one."""
    monkeypatch.setitem(RENAMED, "listen_port", "http_port")
    monkeypatch.setattr(invocation, "_flags", {})
    monkeypatch.setattr("orderkeep.observe.logs.configure", lambda *_arguments: None)
    assert invocation.take_settings(["api", "--listen-port", "9090"]) == ["api"]
    with structlog.testing.capture_logs() as logged:
        assert invocation.settings_in_force().http_port == 9090
    assert logged == [
        {
            "event": "setting_renamed",
            "log_level": "warning",
            "old": "ORDERKEEP_LISTEN_PORT",
            "new": "ORDERKEEP_HTTP_PORT",
        }
    ]
