"""Orders, messages and batches for the tests, made from the model order."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from orderkeep.errors import Rejected
from orderkeep.ingest.prepare import accept
from orderkeep.order import decode
from orderkeep.storage.store import Accepted, Batch, Message, Position, Refused, SourceIdentity

MODEL = (Path(__file__).parent / "data" / "order.json").read_bytes()
MODEL_POST = (Path(__file__).parent / "data" / "order-post.json").read_bytes()

SOURCE = SourceIdentity("test", "orders", "first")


def document(**changes: Any) -> dict[str, Any]:
    """The model order as a dict; `changes` replace or add top-level fields."""
    return {**json.loads(MODEL), **changes}


def order(uid: str, **changes: Any) -> bytes:
    """An order of that uid, with letters of more than one alphabet as they are."""
    return json.dumps(document(order_uid=uid, **changes), ensure_ascii=False).encode()


def refused(payload: bytes | None) -> Rejected:
    """Why it is no order; fails when it is one."""
    with pytest.raises(Rejected) as caught:
        decode(payload)
    return caught.value


def with_unknown(value: bytes) -> bytes:
    """The model order with a field that the model does not name; `value` is its JSON text."""
    return MODEL.replace(b'"oof_shard"', b'"unknown": ' + value + b', "oof_shard"')


def message(payload: bytes | None, position: int, partition: int = 0) -> Message:
    return Message(partition, position, payload)


def batch(
    messages: Sequence[Message],
    *,
    source: SourceIdentity = SOURCE,
    group: str = "group",
    progress: Mapping[int, Position] | None = None,
) -> Batch:
    """The messages decoded; progress, unless given, to the end of every partition in it."""
    accepted: list[Accepted] = []
    refused: list[Refused] = []
    for one in messages:
        try:
            accepted.append(accept(one))
        except Rejected as error:
            refused.append(Refused(one, error.kind, error.reason))
    if progress is None:
        progress = {one.partition: Position(one.position + 1, None) for one in messages}
    return Batch(source, group, accepted, refused, progress)


def orders_batch(payloads: Sequence[bytes | None], first: int = 0, partition: int = 0) -> Batch:
    """The payloads as messages of one partition, at positions from `first`."""
    return batch([message(payload, first + number, partition) for number, payload in enumerate(payloads)])
