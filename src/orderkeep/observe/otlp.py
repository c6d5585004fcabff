"""Traces sent by OpenTelemetry, as OTLP over HTTP. Imported only where they are asked for.

What is not said here follows OpenTelemetry's own variables: OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER,
OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_CERTIFICATE, OTEL_BSP_MAX_QUEUE_SIZE and their like.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from orderkeep.observe.tracing import Carrier, EndRequest
from orderkeep.sources.source import Fetched
from orderkeep.storage.store import Outcome

CLOSE_SECONDS = 3.0
"""For what has not been sent yet, when the process ends; a collector that is away must not keep it."""

_NOWHERE: Final = Context()
_propagator = TraceContextTextMapPropagator()


class OtlpTraces:
    """`Traces` to a collector at `endpoint`: sent in a thread; what does not fit in its queue is dropped."""

    def __init__(self, endpoint: str, role: str) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # not a line for each try
        named = {} if "OTEL_SERVICE_NAME" in os.environ else {SERVICE_NAME: f"orderkeep-{role}"}
        resource = Resource.create({**named, SERVICE_VERSION: version("orderkeep")})
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("orderkeep")

    def batch(
        self,
        fetched: Fetched,
        outcomes: Mapping[Outcome, int],
        carriers: Sequence[tuple[int, Carrier]],
        began: float,
    ) -> None:
        parents = [(number, parent) for number, carrier in carriers if (parent := _sampled(carrier))]
        if not parents:
            return
        source, start, end = fetched.source, round(began * 1e9), time.time_ns()
        common = {"messaging.system": source.kind, "messaging.destination.name": source.topic}
        counts = {f"orderkeep.{outcome}": count for outcome, count in outcomes.items() if count}
        whole = self._tracer.start_span(
            f"commit {source.topic}",
            context=_NOWHERE,
            kind=SpanKind.CONSUMER,
            start_time=start,
            attributes={**common, **counts, "messaging.batch.message_count": len(fetched.messages)},
        )
        links = [Link(whole.get_span_context())]
        for number, parent in parents:
            message = fetched.messages[number]
            self._tracer.start_span(
                f"process {source.topic}",
                context=parent,
                kind=SpanKind.CONSUMER,
                start_time=start,
                links=links,
                attributes={
                    **common,
                    "messaging.destination.partition.id": str(message.partition),
                    "orderkeep.position": message.position,
                },
            ).end(end)
        whole.end(end)

    def request(self, carrier: Carrier, method: str) -> EndRequest:
        parent = _sampled(carrier)
        if parent is None:
            return _end_nothing
        span = self._tracer.start_span(
            method,
            context=parent,
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method},
        )

        def end(route: str, status: int) -> None:
            if route:
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))
            span.end()

        return end

    def close(self) -> None:
        """Send what has not been sent yet; blocks for at most `CLOSE_SECONDS`."""
        closing = threading.Thread(target=self._provider.shutdown, name="otlp-close", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def _sampled(carrier: Carrier) -> Context | None:
    """The span that the carrier names, if it is one, and somebody keeps its trace."""
    context = _propagator.extract(carrier, _NOWHERE)
    named = get_current_span(context).get_span_context()
    return context if named.is_valid and named.trace_flags.sampled else None


def _end_nothing(_route: str, _status: int) -> None: ...
