"""Traces: of messages and requests that somebody traces, sent to a collector, and of nothing else."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from orderkeep.api.app import create_app
from orderkeep.api.guard import AllowedHosts
from orderkeep.api.orders import order_routes
from orderkeep.cache.memory import MemoryCache
from orderkeep.cache.read_through import ReadThrough
from orderkeep.errors import ConfigurationError
from orderkeep.ingest.pipeline import Pipeline
from orderkeep.observe.ingest import IngestObserver
from orderkeep.observe.metrics import Metrics
from orderkeep.observe.tracing import carrier_of, traced
from orderkeep.settings_load import load
from orderkeep.sources.memory import MemorySource, MemoryTopic
from orderkeep.sources.source import Fetched
from orderkeep.storage.memory import MemoryStore
from orderkeep.storage.store import Message
from orderkeep.traces import traces_of
from tests.orders import order

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"
PATIENCE = 60.0


class Collector:
    """An OTLP collector over HTTP: what was sent to it, decoded."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.bodies: list[bytes] = []
        self.services: set[str] = set()

    def spans(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found = []
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.services |= {
                    each.value.string_value
                    for each in resource.resource.attributes
                    if each.key == "service.name"
                }
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return found


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            made.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Collector(server)
    monkeypatch.setenv("ORDERKEEP_OTLP_ENDPOINT", made.url)
    for name in ("OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER", "OTEL_SDK_DISABLED", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


class Observer(IngestObserver):
    """Says when a batch is acknowledged."""

    def __init__(self) -> None:
        super().__init__(Metrics("ingest"))
        self.done = asyncio.Event()

    def acknowledged(self, fetched: Fetched) -> None:
        super().acknowledged(fetched)
        self.done.set()


async def ingest(topic: MemoryTopic, observer: Observer) -> None:
    """Run the pipeline until the topic, which is one batch, is acknowledged."""
    stop = asyncio.Event()
    store = MemoryStore()
    source = MemorySource(topic, "group")
    working = asyncio.create_task(Pipeline(source, [store], "group", observer).run(stop, PATIENCE))
    async with asyncio.timeout(PATIENCE):
        await observer.done.wait()
    stop.set()
    await working


def publish(topic: MemoryTopic, uid: str, traceparent: str | None) -> None:
    headers = () if traceparent is None else ((b"traceparent", traceparent.encode()), (b"other", None))
    messages = topic.partitions[0]
    messages.append(Message(0, len(messages), order(uid), None, headers))


async def test_a_message_is_traced_to_its_commit(collector: Collector) -> None:
    """A message that is traced has a span in its sender's trace, which leads to that of its batch; others
    have none, and no span has anything of an order.
    """
    topic = MemoryTopic("orders")
    observer = Observer()
    for uid, traceparent in (("one", None), ("two", SAMPLED), ("three", UNSAMPLED), ("four", "nonsense")):
        publish(topic, uid, traceparent)
    with traces_of(load(), "ingest") as traces:
        observer.trace(traces)
        await ingest(topic, observer)
    assert sorted(span.name for span in collector.spans()) == ["commit orders", "process orders"]
    batch, message = sorted(collector.spans(), key=lambda span: str(span.name))
    assert message.trace_id.hex() == TRACE
    assert message.name == "process orders"
    assert message.parent_span_id.hex() == PARENT
    assert attributes(message) == {
        "messaging.system": "memory",
        "messaging.destination.name": "orders",
        "messaging.destination.partition.id": "0",
        "orderkeep.position": 1,
    }
    assert [link.span_id for link in message.links] == [batch.span_id]
    assert attributes(batch)["messaging.batch.message_count"] == 4
    assert attributes(batch)["orderkeep.stored"] == 4
    assert message.start_time_unix_nano <= message.end_time_unix_nano == batch.end_time_unix_nano
    assert collector.services == {"orderkeep-ingest"}
    told = b"".join(collector.bodies)
    assert not [text for text in (b"two", b"Test Testov", b"test@gmail.com", b"+972") if text in told]


async def test_nothing_is_traced_that_nobody_traces(collector: Collector) -> None:
    """A batch without a traced message has no span, nor has one whose traces nobody keeps."""
    topic = MemoryTopic("orders")
    observer = Observer()
    for uid, traceparent in (("one", None), ("two", UNSAMPLED)):
        publish(topic, uid, traceparent)
    with traces_of(load(), "ingest") as traces:
        observer.trace(traces)
        await ingest(topic, observer)
    assert collector.bodies == []


async def test_a_request_is_traced(collector: Collector) -> None:
    """A request with a traceparent has a span in that trace, by its route and without the uid."""
    store = MemoryStore()
    routes = order_routes(ReadThrough(store, MemoryCache(1_000_000)), store)
    app = create_app(routes, AllowedHosts([]), Metrics("api"))
    with traces_of(load(), "api") as traces:
        transport = httpx.ASGITransport(app=traced(app, traces))  # type: ignore[arg-type]  # two types of the same
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for headers in ({}, {"traceparent": SAMPLED, "tracestate": "a=b"}, {"traceparent": "nonsense"}):
                assert (await client.get("/orders/secret-uid", headers=headers)).status_code == 404
    (span,) = collector.spans()
    assert span.trace_id.hex() == TRACE
    assert (span.name, span.parent_span_id.hex(), span.trace_state) == ("GET /orders/{uid}", PARENT, "a=b")
    assert attributes(span) == {
        "http.request.method": "GET",
        "http.route": "/orders/{uid}",
        "http.response.status_code": 404,
    }
    assert collector.services == {"orderkeep-api"}
    assert b"secret-uid" not in b"".join(collector.bodies)


def test_a_collector_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer, nothing raises, and the end does not wait for one."""
    from orderkeep.observe import otlp

    monkeypatch.setattr(otlp, "CLOSE_SECONDS", 0.1)
    settings = load({"otlp_endpoint": "http://127.0.0.1:9"})
    with traces_of(settings, "api") as traces:
        assert traces is not None
        traces.request({"traceparent": SAMPLED}, "GET")("/orders/{uid}", 200)


def test_not_asked_for() -> None:
    """Without an endpoint there are no traces, and an application is left as it is."""
    with traces_of(load({"otlp_endpoint": ""}), "api") as traces:
        assert traces is None
        app: Any = object()
        assert traced(app, traces) is app


def test_an_endpoint_that_is_none() -> None:
    """An endpoint that is no URL is refused."""
    with pytest.raises(ConfigurationError, match="ORDERKEEP_OTLP_ENDPOINT"):
        load({"otlp_endpoint": "collector:4318"})


def test_carriers() -> None:
    """Of headers only those count that say which trace it is, whatever else a sender has put in."""
    assert carrier_of([(b"tracestate", b"a=b"), (b"other", None)]) == {}
    assert carrier_of([(b"traceparent", None)]) == {}
    assert carrier_of([(b"traceparent", b"\xff"), (b"\xfe", b"x")]) == {"traceparent": "\xff"}
