"""NATS JetStream: the stream, what its limits do to messages that wait, and the durable."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from orderkeep.settings import Settings

from .check import Sight, Verdict, error, ok, warning
from .times import SHORT_HOURS, period

OLDEST_VERSION = (2, 10)
"""Since then a server tells its time, and makes consumers as they are asked for here; tried with 2.15."""
CLOCK_SECONDS = 2.0
FULL_SHARE = 0.8


class JetStream(NamedTuple):
    """`account`, `stream` and `consumer` are the server's own answers; the last two None when not there.

    `clock_ahead` in seconds, None where the server tells no time.
    """

    version: str
    account: Mapping[str, Any]
    stream: Mapping[str, Any] | None
    consumer: Mapping[str, Any] | None
    clock_ahead: float | None


async def server(sight: Sight) -> JetStream:
    """Raises `Transient` or `Fatal`."""
    from .jetstream_server import look  # the client may not be installed

    return await look(sight.settings)


def reached(_settings: Settings, seen: JetStream) -> Verdict:
    numbers = tuple(int(part) for part in seen.version.split(".")[:2])
    if numbers < OLDEST_VERSION:
        return warning(f"nats-server {seen.version} answers", "upgrade it: it is older than what was tried")
    return ok(f"nats-server {seen.version} with JetStream answers")


def stream(settings: Settings, seen: JetStream) -> list[Verdict]:
    if seen.stream is None:
        return [
            warning(
                f"there is no stream {settings.nats_stream!r}: ingest makes it, with one copy",
                "in a cluster make it yourself, with replicas; or correct ORDERKEEP_NATS_STREAM",
            )
        ]
    config, name = seen.stream["config"], settings.nats_stream
    found = []
    if config.get("retention", "limits") != "limits":
        found.append(
            error(
                f"{name} deletes what is acknowledged (retention {config['retention']}): ingest refuses it",
                "make it with retention limits",
            )
        )
    if config.get("subjects") != [settings.nats_subject]:
        found.append(
            error(
                f"{name} takes {', '.join(config.get('subjects') or ['no subject'])}, and has to take "
                f"{settings.nats_subject} alone",
                "correct ORDERKEEP_NATS_STREAM or ORDERKEEP_NATS_SUBJECT",
            )
        )
    if config.get("storage") == "memory":
        found.append(error(f"{name} is kept in memory: a restart loses it", "make it with storage file"))
    if config.get("num_replicas", 1) < 2 and seen.stream.get("cluster", {}).get("replicas"):
        found.append(warning(f"{name} has one copy in a cluster", "give it three replicas"))
    return found or [ok(f"{name} is on disk, takes {settings.nats_subject} alone, and can be read again")]


def limits(settings: Settings, seen: JetStream) -> list[Verdict]:
    """A stream that is full drops its oldest messages, read or not, unless it discards new ones."""
    if seen.stream is None:
        return [ok("there is no stream")]
    config, state, name = seen.stream["config"], seen.stream["state"], settings.nats_stream
    found = []
    age = config.get("max_age", 0) / 1e9
    if 0 < age < SHORT_HOURS * 3600:
        found.append(
            warning(
                f"{name} keeps messages for {period(age)}: a longer outage of ours loses orders",
                "raise max_age to more than an outage, and the age of the oldest backup, may last",
            )
        )
    for limit, used in (("max_msgs", state["messages"]), ("max_bytes", state["bytes"])):
        most = config.get(limit, -1)
        if most <= 0:
            continue
        if config.get("discard", "old") == "old":
            found.append(
                warning(
                    f"{name} drops its oldest messages, read or not, at {limit} {most:,}; it has {used:,}",
                    "raise the limit, or set discard to new, which refuses senders instead",
                )
            )
        elif used > most * FULL_SHARE:
            found.append(
                warning(f"{name} is nearly full, and will refuse senders: {limit}", "raise the limit")
            )
    if config.get("max_msgs_per_subject", -1) > 0:
        found.append(
            error(f"{name} keeps only the last messages of a subject", "set max_msgs_per_subject to -1")
        )
    return found or [ok(f"{name} keeps messages {f'for {period(age)}' if age else 'for ever'}")]


def duplicates(_settings: Settings, seen: JetStream) -> Verdict:
    """The server drops a message whose Nats-Msg-Id it has had within the window."""
    if seen.stream is None:
        return ok("there is no stream")
    window = seen.stream["config"].get("duplicate_window", 0) / 1e9
    return ok(
        f"a message is dropped when its Nats-Msg-Id came within {period(window)}: senders must not use the "
        "order's uid for it, or a conflict is dropped unseen"
    )


def consumer(settings: Settings, seen: JetStream) -> list[Verdict]:
    if seen.consumer is None:
        return [ok(f"ingest will make the durable {settings.nats_durable}")]
    config, name = seen.consumer["config"], settings.nats_durable
    wrong = {
        f"acknowledges {config.get('ack_policy')}": config.get("ack_policy") != "explicit",
        "gives messages up": config.get("max_deliver", -1) > 0,
        "is pushed": bool(config.get("deliver_subject")),
        "delivers no payloads": bool(config.get("headers_only")),
    }
    found = [
        error(
            f"the durable {name} {what}: ingest does not start", "delete it, and ingest makes the right one"
        )
        for what, is_so in wrong.items()
        if is_so
    ]
    if config.get("inactive_threshold"):
        found.append(
            warning(
                f"the durable {name} is deleted when ingest is away for "
                f"{period(config['inactive_threshold'] / 1e9)}",
                "delete it, and ingest makes one that stays",
            )
        )
    waiting = seen.consumer.get("num_ack_pending", 0)
    return found or [ok(f"{name} delivers until acknowledged; {waiting:,} messages are under way")]


def storage(_settings: Settings, seen: JetStream) -> Verdict:
    used = seen.account.get("storage", 0)
    most = seen.account.get("limits", {}).get("max_storage", -1)
    if most <= 0:
        return ok(f"the account uses {used:,} bytes of the disk; JetStream tells no limit of it")
    if used > most * FULL_SHARE:
        return warning(
            f"the account uses {used:,} of {most:,} bytes", "raise its limit: it will refuse senders"
        )
    return ok(f"the account uses {used:,} of {most:,} bytes")


def clock(_settings: Settings, seen: JetStream) -> Verdict:
    if seen.clock_ahead is None:
        return ok("the server tells no time")
    if abs(seen.clock_ahead) > CLOCK_SECONDS:
        which = "ahead of" if seen.clock_ahead > 0 else "behind"
        return warning(
            f"the clock of NATS is {abs(seen.clock_ahead):.1f} s {which} ours",
            "synchronise both (chrony, ntpd)",
        )
    return ok(f"the clock of NATS and ours differ by {abs(seen.clock_ahead):.3f} s")
