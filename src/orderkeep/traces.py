"""Whether traces are sent, and where to, by the settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from orderkeep.errors import ConfigurationError
from orderkeep.observe.tracing import Traces
from orderkeep.settings import Settings


@contextmanager
def traces_of(settings: Settings, role: Literal["ingest", "api"]) -> Iterator[Traces | None]:
    """Where spans go during the block, or None. Raises `ConfigurationError`."""
    if not settings.otlp_endpoint:
        yield None
        return
    try:
        from orderkeep.observe.otlp import OtlpTraces
    except ModuleNotFoundError:
        raise ConfigurationError(
            "ORDERKEEP_OTLP_ENDPOINT is set, and OpenTelemetry is not here: install orderkeep[otel]"
        ) from None
    traces = OtlpTraces(settings.otlp_endpoint, role)
    try:
        yield traces
    finally:
        traces.close()
