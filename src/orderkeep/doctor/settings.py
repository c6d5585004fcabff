"""What can be wrong with settings that are each right by itself."""

from importlib.util import find_spec

from orderkeep.errors import ConfigurationError
from orderkeep.settings import Settings, variable
from orderkeep.settings_load import old_names_in_use
from orderkeep.settings_names import RENAMED

from .check import Sight, Verdict, error, ok, warning

_OF_SOURCE = {"kafka_": ("kafka",), "nats_": ("jetstream", "stan"), "stan_": ("stan",)}
"""Which brokers the settings that begin so are for; those of JetStream alone are below."""
_OF_JETSTREAM = ("nats_stream",)
_CLIENTS = {"kafka": ("confluent_kafka", "kafka"), "jetstream": ("nats", "nats"), "stan": ("nats", "nats")}
"""The module that talks to the broker, and the extra that would bring it where the base does not."""


async def settings_given(sight: Sight) -> Settings:
    """Nothing is to be looked at: they are read, and each is right by itself."""
    return sight.settings


def values(settings: Settings, _seen: Settings) -> Verdict:
    given = len(settings.model_fields_set)
    return ok(f"every name is known and every value in its range; {given} are given, the rest are defaults")


def old_names(_settings: Settings, _seen: Settings) -> list[Verdict]:
    found = [
        warning(f"{variable(old)} is the old name of {variable(RENAMED[old])}", "rename it before it goes")
        for old in old_names_in_use()
    ]
    return found or [ok("no setting is given by an old name")]


def contradictions(settings: Settings, _seen: Settings) -> list[Verdict]:
    found = [*_refused(settings), *_clashes(settings), *_unused(settings)]
    return found or [ok("no setting is at odds with another")]


def clients(settings: Settings, _seen: Settings) -> list[Verdict]:
    module, extra = _CLIENTS[settings.source]
    needed = [(module, extra), *([("valkey", "redis")] if settings.cache != "memory" else [])]
    missing = [
        error(f"the package {module} is not installed", f"pip install 'orderkeep[{extra}]'")
        for module, extra in needed
        if find_spec(module) is None
    ]
    return missing or [ok(f"installed: {', '.join(module for module, _ in needed)}")]


def _refused(settings: Settings) -> list[Verdict]:
    """What a service refuses at its start, in its own words."""
    from orderkeep.api.access import refuse_exposure

    try:
        refuse_exposure(settings)
    except ConfigurationError as refusal:
        what, _, remedy = str(refusal).partition(": ")
        return [error(what, remedy)]
    return []


def _clashes(settings: Settings) -> list[Verdict]:
    found = []
    if settings.kafka_dead_letter_topic and settings.source != "kafka":
        found.append(
            error(
                f"ORDERKEEP_KAFKA_DEAD_LETTER_TOPIC is for Kafka, and the source is {settings.source}",
                "leave it out: rejects are kept in the database, whatever the source",
            )
        )
    same_port = settings.http_port and settings.http_port == settings.ingest_port
    if same_port and settings.http_host == settings.ingest_host:
        found.append(
            error(
                f"the API and ingest would both listen on port {settings.http_port}",
                "give one of ORDERKEEP_HTTP_PORT and ORDERKEEP_INGEST_PORT another value",
            )
        )
    return found


def _unused(settings: Settings) -> list[Verdict]:
    """What is given and has no effect, because another choice was made: perhaps that was forgotten."""
    given = settings.model_fields_set
    of_other_brokers = [
        name
        for name in given
        for prefix, sources in _OF_SOURCE.items()
        if name.startswith(prefix)
        and (settings.source not in sources or (name in _OF_JETSTREAM and settings.source != "jetstream"))
        and name != "kafka_dead_letter_topic"
    ]
    of_redis = [name for name in given if name.startswith("redis_") and settings.cache == "memory"]
    return [
        *_no_effect(of_other_brokers, f"ORDERKEEP_SOURCE is {settings.source}"),
        *_no_effect(of_redis, "ORDERKEEP_CACHE is memory"),
    ]


def _no_effect(names: list[str], because: str) -> list[Verdict]:
    if not names:
        return []
    listed = ", ".join(variable(name) for name in sorted(names))
    return [
        warning(f"without effect, since {because}: {listed}", "leave them out, or choose what they are for")
    ]
