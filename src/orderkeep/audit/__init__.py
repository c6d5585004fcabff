"""The proof from outside that no message is lost.

`audit` reads a topic again, up to what a consumer group has acknowledged, and finds for every message its one
outcome in the database, by content. It shares nothing with the pipeline but the model of an order, the tables
and the errors, so a mistake of the pipeline is not made twice. It writes nothing anywhere.
"""

from .broker import AuditedTopic
from .progress import progress_bar
from .report import AuditReport, PartitionAudit, Problem
from .run import audit
from .topic import TopicState

__all__ = [
    "AuditReport",
    "AuditedTopic",
    "PartitionAudit",
    "Problem",
    "TopicState",
    "audit",
    "progress_bar",
]
