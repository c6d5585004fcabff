"""What a dead letter says beside the headers of the message that it is a copy of."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from orderkeep.errors import RejectKind
from orderkeep.storage.store import Refused, SourceIdentity

PREFIX = "orderkeep-"
"""Of the headers that are added; those of the message come before them, as they were."""
REASON_CHARACTERS = 1_000

_Number = Annotated[str, Meta(pattern="^[0-9]+$")]


class DeadLetterHeaders(Struct, frozen=True, rename=lambda name: PREFIX + name):
    """All of them are texts in UTF-8."""

    kind: Annotated[RejectKind, Meta(description="Why the message was kept aside.")]
    reason: Annotated[str, Meta(max_length=REASON_CHARACTERS, description="The same for a person.")]
    topic: Annotated[str, Meta(description="The topic that the message was read from.")]
    partition: Annotated[_Number, Meta(description="Where it is in there.")]
    position: Annotated[_Number, Meta(description="Where it is in the partition.")]
    incarnation: Annotated[str, Meta(description="The id of the topic: one that was made again has another.")]


def headers(source: SourceIdentity, refused: Refused) -> dict[str, str]:
    """Names and texts, in their order."""
    said = DeadLetterHeaders(
        refused.kind,
        refused.reason[:REASON_CHARACTERS],
        source.topic,
        str(refused.message.partition),
        str(refused.message.position),
        source.incarnation,
    )
    named: dict[str, str] = msgspec.to_builtins(said)
    return named
