"""`orderkeep doctor`: looks at everything that Orderkeep depends on, and changes nothing of it."""

from .report import Report
from .run import examine

__all__ = ["Report", "examine"]
