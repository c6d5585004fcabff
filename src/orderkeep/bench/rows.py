"""The orders of a bench: as messages for a topic, and as rows made ready for COPY."""
