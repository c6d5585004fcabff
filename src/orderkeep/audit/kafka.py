"""A topic of Apache Kafka, to be audited."""

from collections.abc import Mapping, Sequence

from orderkeep.errors import ConfigurationError

from .kafka_survey import survey
from .reader import Reader
from .topic import Span, TopicState


class KafkaTopic:
    """`AuditedTopic` at `brokers` (host:port, comma-separated); `options` are librdkafka's properties."""

    def __init__(self, brokers: str, options: Mapping[str, str], topic: str, group: str) -> None:
        self._brokers, self._options, self._topic = brokers, options, topic
        self.group = group

    def look(self) -> TopicState:
        return survey(self._brokers, self._options, self._topic, self.group)

    def survey(self) -> TopicState:
        state = self.look()
        if not state.committed:
            raise ConfigurationError(
                f"The group {self.group!r} has acknowledged nothing of topic {self._topic!r}. "
                "Run `orderkeep ingest` first, or set ORDERKEEP_KAFKA_GROUP."
            )
        return state

    def reader(self, spans: Sequence[Span]) -> Reader:
        return Reader(self._brokers, self._options, self._topic, spans)
