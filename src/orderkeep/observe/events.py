"""The names of the log's events: stable, and each with what it means. `docs/operations.md` lists them.

A line of the log never holds a payload, nor anything of an order but its uid.
"""

from typing import Final

EVENTS: Final[dict[str, str]] = {
    "started": "A command is at work; `role` says which.",
    "stopping": "A signal asked the process to stop; it finishes what is in flight.",
    "stopped": "The process ended in order; `finished` is false when the deadline came first.",
    "setting_renamed": "A setting is given by the name it had once, `old`: rename it to `new`.",
    "database_is_newer": "A newer program has applied `migrations`, which this one can work with.",
    "topic_missing": "The topic is not there; perhaps it is being made again. Waiting for it.",
    "topic_made_again": "The topic was deleted and made again: it is read from its beginning.",
    "partitions_assigned": "Partitions to read, and from which positions.",
    "partitions_revoked": "Partitions given away; `drained` is false when a batch was unfinished.",
    "partitions_lost": "Partitions lost without notice; what was unfinished is redelivered.",
    "group_left": "The group was left, because the broker or the database was silent; it is joined again.",
    "consumer_made": "NATS: the durable was made, to deliver from the position where the database is.",
    "consumer_changed": "JetStream: another process made the durable anew, or it was deleted: looking.",
    "stream_joined": "NATS: where this process begins; `alone`: no other has anything in flight.",
    "reading_again": "NATS Streaming: what no process of the queue has brought is read from the channel.",
    "gap_accepted": "Messages were deleted before they were stored; with `--accept-gap` that is recorded.",
    "broker_unavailable": "The broker does not answer; the client goes on trying.",
    "commit_failed": "Offsets could not be committed; a redelivery will find its outcomes.",
    "write_retried": "A batch could not be written because of the world; it is tried again.",
    "database_went_back": "The database lacks what it had confirmed: ingest reads again from where it is.",
    "messages_rejected": "Messages of a batch were kept aside, by reason.",
    "rejects_discarded": "What old rejects hold was discarded, of `count`: ORDERKEEP_REJECTS_RETENTION_DAYS.",
    "discard_failed": "What old rejects hold could not be discarded; it is tried again after an hour.",
    "orders_erased": "Orders were erased, `count` of them, now or lately: this process does not serve them.",
    "cache_restored": "The cache is filled from the database.",
    "restore_interrupted": "The database went away during the restore; it starts again.",
    "following_interrupted": "The connection that follows new orders was lost; it is made again.",
    "redis_unavailable": "Redis is not asked any more, because it failed; PostgreSQL is.",
    "redis_available": "Redis answers again, and is asked.",
    "redis_write_failed": "Redis can be read but takes no writes; what is read is not kept there.",
    "certificate_renewed": "The API's certificate has changed, and new connections get the new one.",
    "certificate_refused": "The API's certificate has changed, and cannot be used: the one before stays.",
    "certificate_ends": "The API's certificate has ended, or ends within a week: renew it. Said once a day.",
    "keys_changed": "Other keys than before are in force, `active` of them.",
    "keys_unreadable": "The file of keys is gone or damaged: nobody passes until it can be read again.",
    "order_posted": "An order came over HTTP, with which outcome, and of whose key, if there are keys.",
    "reject_replayed": "A reject was replayed over HTTP, with which outcome, and of whose key.",
    "request_failed": "A request met a mistake of the program: the answer was 500.",
    "child_ended": "A process of `orderkeep serve` ended by itself; it is started again.",
}
