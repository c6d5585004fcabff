"""Every setting, with its default and its unit.

The later is the stronger: the defaults here, a `.env` file in the working folder, the environment, the
flags of the command. `.env.example`, `docs/settings.md` and `orderkeep config` are made from this module.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from orderkeep.secret_files import SUFFIX
from orderkeep.settings_names import PREFIX

Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """The settings of all commands; each command uses those that concern it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True
    )

    _files: dict[str, tuple[str, Any]] = PrivateAttr(default_factory=dict)
    """Of the settings that were read from a file: which file, and what was read."""

    source: Literal["kafka", "jetstream", "stan"] = Field(
        "kafka",
        description="The broker that orders come from: Apache Kafka, NATS JetStream, NATS Streaming (stan).",
    )

    database_url: str = Field(
        "postgresql://orderkeep@localhost:5432/orderkeep",
        description="PostgreSQL, for writing: postgresql://user:password@host:port/database. A direct "
        "connection to the primary, since notifications do not pass a pooling proxy.",
    )
    database_migrate_url: str = Field(
        "",
        description="PostgreSQL, as the owner of the tables, for `orderkeep migrate`. Default: DATABASE_URL.",
    )
    database_read_url: str = Field("", description="PostgreSQL, for the API's reads. Default: DATABASE_URL.")
    database_pool: int = Field(
        2,
        ge=1,
        le=1000,
        description="Connections over which one API process reads orders that are not in memory, up to 64 in "
        "a query. Made when they are needed.",
    )
    database_writers: int = Field(
        2, ge=1, le=16, description="Batches that one ingest process writes side by side, a connection each."
    )

    rejects_retention_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days after which ingest discards what a reject holds: payload, key and headers. "
        "0: it is kept for ever.",
    )

    kafka_brokers: str = Field("localhost:9092", description="Kafka's brokers: host:port, comma-separated.")
    kafka_topic: str = Field("orders", description="The topic to read, and to publish to.")
    kafka_group: str = Field("orderkeep", description="The consumer group of ingest.")
    kafka_dead_letter_topic: str = Field(
        "",
        description="A topic that gets a copy of every reject and conflict, at least once. Empty: none does.",
    )
    kafka_options: dict[str, Any] = Field(
        default_factory=dict,
        description='Any property of librdkafka as a JSON object, such as {"security.protocol": "ssl"}; '
        "those that the promise depends on are refused.",
    )

    nats_url: str = Field(
        "nats://localhost:4222",
        description="NATS servers, comma-separated: nats://user:password@host:port, nats://token@host:port; "
        "tls:// insists on TLS, ?ssl_ca_certs=FILE for a certificate authority of your own.",
    )
    nats_subject: str = Field(
        "orders",
        description="The subject that the stream takes, or the channel of NATS Streaming, and to publish to.",
    )
    nats_stream: str = Field(
        "orders", description="The stream of JetStream; made if missing, on disk and without limits."
    )
    nats_durable: str = Field(
        "orderkeep",
        description="The durable consumer of JetStream that all ingest processes share, or the durable "
        "subscription of NATS Streaming; made if missing.",
    )
    stan_cluster: str = Field("test-cluster", description="The cluster id of NATS Streaming.")
    stan_client_id: str = Field(
        "orderkeep",
        description="Under which client id ingest is connected to NATS Streaming: letters, digits, - and _. "
        "A durable belongs to it. With STAN_QUEUE each process adds a number.",
    )
    stan_queue: str = Field(
        "",
        description="The queue group of NATS Streaming in which ingest processes share the work. Empty: one "
        "process has the durable to itself.",
    )

    ingest_host: str = Field("127.0.0.1", description="Address of ingest's own health and metrics.")
    ingest_port: Port = Field(
        8081, description="Port of ingest's own health and metrics; 0 takes a free one."
    )
    ingest_urls: str = Field(
        "",
        description="Where the API asks each ingest process how it is, for the page, comma-separated: "
        "such as http://127.0.0.1:8081. Default: INGEST_HOST and INGEST_PORT.",
    )
    shutdown_seconds: float = Field(
        20.0, gt=0, description="Seconds to finish what is in flight when asked to stop."
    )

    http_host: str = Field("127.0.0.1", description="Address that the API listens on.")
    http_port: Port = Field(8080, description="Port of the API and the page; 0 takes a free one.")
    http_workers: int = Field(
        1, ge=1, le=256, description="API processes that `orderkeep serve` starts; they share the port."
    )
    http_protected: bool = Field(
        True,
        description="Without KEYS_FILE, refuse to listen on other addresses than loopback. Set to false only "
        "where something in front lets in none but those who may read orders.",
    )
    keys_file: str = Field(
        "",
        description="The file of `orderkeep keys`: with it every request needs a key, and the API listens on "
        "any address. Empty: no keys.",
    )
    http_client_rate: float = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Requests a second of one client (by key, or address without keys) that need more than "
        "memory, ten times as many at once; then 429. Of one process. 0: no limit.",
    )
    http_allowed_hosts: str = Field(
        "",
        description="Names that requests may give in Host, comma-separated, besides localhost, loopback "
        "addresses and HTTP_HOST; * allows all.",
    )
    http_tls_cert_file: str = Field(
        "",
        description="A file with the API's certificate in PEM, the authorities between behind it; the API "
        "speaks HTTPS alone then. Taken anew when it changes. Empty: HTTP.",
    )
    http_tls_key_file: str = Field(
        "", description="A file with the key of the certificate, not encrypted. Default: HTTP_TLS_CERT_FILE."
    )
    http_hsts_seconds: int = Field(
        31_536_000,
        ge=0,
        description="With TLS: seconds for which a browser asks every service of this name by HTTPS alone "
        "(Strict-Transport-Security). 0: it is not told to.",
    )

    cache: Literal["memory", "redis", "both"] = Field(
        "memory",
        description="Where the API keeps orders at hand: in its memory, in Redis or Valkey, or in both, "
        "memory in front.",
    )
    cache_max_bytes: int = Field(
        512 * 1024 * 1024,
        ge=0,
        description="Bytes of responses that the cache of one API process holds, and of orders that a "
        "restore writes to Redis.",
    )
    cache_max_orders: int | None = Field(
        None,
        ge=1,
        description="Hold the newest so many orders in memory, instead of the most recently used.",
    )
    redis_url: str = Field(
        "redis://localhost:6379/0",
        description="Redis or Valkey: redis://user:password@host:port/number; rediss:// for TLS, "
        "?ssl_ca_certs=FILE for a certificate authority of your own.",
    )
    redis_prefix: str = Field("orderkeep", min_length=1, description="What every key in Redis begins with.")
    redis_ttl_seconds: int = Field(
        86_400, ge=1, le=10**9, description="Seconds that an order stays in Redis after it was written."
    )
    redis_deadline_seconds: float = Field(
        0.05, gt=0, le=5, description="Seconds that a read waits for Redis before PostgreSQL is asked."
    )

    log_format: Literal["json", "console"] = Field(
        "json", description="json: one object a line. console: for people."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least serious event to log."
    )

    otlp_endpoint: str = Field(
        "",
        description="Where traces go, by OTLP over HTTP: such as http://127.0.0.1:4318. Empty: nowhere. "
        "Sampling and credentials are up to OpenTelemetry's own variables.",
    )

    @field_validator("database_url", "database_migrate_url", "database_read_url")
    @classmethod
    def _is_postgres_url(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("a URL like postgresql://user:password@host:5432/database is expected")
        return value

    @field_validator("nats_url")
    @classmethod
    def _is_nats_url(cls, value: str) -> str:
        if not all(part.strip().startswith(("nats://", "tls://")) for part in value.split(",")):
            raise ValueError("URLs like nats://user:password@host:4222 are expected, comma-separated")
        return value

    @field_validator("cache_max_orders")
    @classmethod
    def _is_of_memory(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("cache") == "redis":
            raise ValueError(
                "Redis is bounded by its own maxmemory: leave this out, or set ORDERKEEP_CACHE=both"
            )
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url(cls, value: str) -> str:
        if not value.startswith(("redis://", "rediss://", "valkey://", "valkeys://", "unix://")):
            raise ValueError("a URL like redis://user:password@host:6379/0 is expected, rediss:// for TLS")
        return value

    @field_validator("kafka_dead_letter_topic")
    @classmethod
    def _is_another_topic(cls, value: str, info: ValidationInfo) -> str:
        if value and value == info.data.get("kafka_topic"):
            raise ValueError("dead letters would be read again for ever: name another topic than KAFKA_TOPIC")
        return value

    @field_validator("http_tls_key_file")
    @classmethod
    def _has_a_certificate(cls, value: str, info: ValidationInfo) -> str:
        if value and not info.data.get("http_tls_cert_file"):
            raise ValueError("a key without its certificate: set ORDERKEEP_HTTP_TLS_CERT_FILE as well")
        return value

    @field_validator("kafka_options", mode="before")
    @classmethod
    def _read_object(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError('a JSON object like {"security.protocol": "ssl"} is expected') from None

    @field_validator("ingest_urls")
    @classmethod
    def _is_http_url(cls, value: str) -> str:
        if any(part.strip() and not part.strip().startswith("http://") for part in value.split(",")):
            raise ValueError("URLs like http://host:8081 are expected, comma-separated")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_collector_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("a URL like http://127.0.0.1:4318 is expected")
        return value

    @property
    def ingest_health(self) -> list[str]:
        """The URLs of the health of each ingest process that is known; empty when its port is not."""
        if self.ingest_urls:
            return [part.strip().rstrip("/") for part in self.ingest_urls.split(",") if part.strip()]
        host = f"[{self.ingest_host}]" if ":" in self.ingest_host else self.ingest_host
        return [f"http://{host}:{self.ingest_port}"] if self.ingest_port else []

    @property
    def group(self) -> str:
        """Under which name ingest acknowledges, and keeps its progress."""
        return self.kafka_group if self.source == "kafka" else self.nats_durable

    @property
    def channel(self) -> str:
        """The topic or subject that orders come from."""
        return self.kafka_topic if self.source == "kafka" else self.nats_subject

    @property
    def shared(self) -> bool:
        """Whether several ingest processes may have messages of the same partition."""
        return self.source == "jetstream" or (self.source == "stan" and bool(self.stan_queue))

    def read_from(self, files: Mapping[str, tuple[str, str]]) -> "Settings":
        """Note which variables were read from which file."""
        self._files = {name: (file, self._value(name)) for name, (file, _) in files.items()}
        return self

    def unchanged_files(self) -> dict[str, str]:
        """The file of each variable that was read from one, and is still what was read."""
        return {name: file for name, (file, read) in self._files.items() if self._value(name) == read}

    def _value(self, name: str) -> object:
        return getattr(self, name.removeprefix(PREFIX).lower())

    @property
    def migrate_url(self) -> str:
        return self.database_migrate_url or self.database_url

    @property
    def read_url(self) -> str:
        return self.database_read_url or self.database_url


SECRETS = tuple(name for name in Settings.model_fields if name.endswith(("_url", "_options")))
"""What may hold a password: never repeated in a message, masked where it is shown, and read from files."""


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, for a child process to have the same.

    What was read from a file, the child reads there: it is not in its environment, and it may be a new one.
    """
    files = settings.unchanged_files()
    given = {variable(name): value for name, value in settings.model_dump().items() if value is not None}
    values = {name: value for name, value in given.items() if name not in files}
    return {
        **{name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()},
        # An empty one is not given: ours may be in the environment that the child inherits.
        **{variable(name) + SUFFIX: files.get(variable(name), "") for name in SECRETS},
    }
