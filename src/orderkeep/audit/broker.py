"""What an audit needs of a broker: a topic as it is, and its messages once more."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from .topic import Span, TopicState


class Record(Protocol):
    """A message as it was read."""

    @property
    def partition(self) -> int: ...

    @property
    def position(self) -> int: ...

    @property
    def payload(self) -> bytes | None: ...

    @property
    def key(self) -> bytes | None: ...

    def headers(self) -> list[bytes | None] | None:
        """Names and values in turn; a value may be None. None at all when they cannot be read.

        Call it once.
        """


class TopicReader(Protocol):
    @property
    def positions(self) -> Mapping[int, int]:
        """By partition, the offset after the last one that is done with."""

    def batches(self) -> AsyncIterator[Sequence[Record]]:
        """Every message of the spans, in order within a partition. Raises `Fatal`."""


class AuditedTopic(Protocol):
    """A topic, and the group whose acknowledgements are audited, which is not joined."""

    @property
    def group(self) -> str: ...

    def look(self) -> TopicState:
        """Ask the broker; blocks. Raises `Fatal`: there is no such topic, or the broker does not tell."""

    def survey(self) -> TopicState:
        """As `look`; raises `ConfigurationError` as well when the group has acknowledged nothing."""

    def reader(self, spans: Sequence[Span]) -> AbstractAsyncContextManager[TopicReader]: ...
