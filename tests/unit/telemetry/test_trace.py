from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import eais
from eais.deadline import Deadline
from eais.errors import make_error
from eais.rpc.v1 import worker_pb2
from eais.telemetry.trace import MAX_TRACESTATE, CallSpan, TraceContext, parse_traceparent
from eais.transport.messages import answer_part
from eais.transport.parts import RunPart
from eais.transport.writing import RunWriter
from eais.value import Deferred
from eais_client.pending import PendingCall
from eais_client.testing import FakeWire, fake_frontend, fake_instance
from eais_client.testing.conformance import own_models
from eais_client.testing.fake_wire import LISTENER
from eais_client.tracing import begin_span, end_span
from eais_client.wire import Incoming
from eais_server.worker.failure_log import MOST_A_SECOND, FailureLog
from tests.unit.client.ort_host import OrtHost
from tests.unit.client.served import Heard

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"
EXPORTER = InMemorySpanExporter()


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (GOOD, True),
        (f"00-{TRACE}-{PARENT}-00", False),
        (f"00-{TRACE}-{PARENT}-03", True),
        (f"cc-{TRACE}-{PARENT}-01", True),
        (f"cc-{TRACE}-{PARENT}-01-what-comes", True),
    ],
)
def test_contexts_are_read_as_the_standard_says(text: str, sampled: bool) -> None:
    found = parse_traceparent(text)
    assert found is not None
    assert (found.trace_id, found.parent_id, found.sampled) == (TRACE, PARENT, sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-01\n",
        f"cc-{TRACE}-{PARENT}-01x",
        f"cc-{TRACE}-{PARENT}-01-" + "a" * 300,
    ],
)
def test_what_is_no_context_is_ignored(text: str) -> None:
    assert parse_traceparent(text) is None


@pytest.fixture(scope="module")
def provider() -> TracerProvider:
    """The one of this process: the API lets it be set once."""
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(made)
    return made


@pytest.fixture
def exporter(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    EXPORTER.clear()
    yield EXPORTER
    EXPORTER.clear()


def pending() -> PendingCall:
    body = RunWriter("ei-1", "s").body([], (), {}, "", Deferred())
    return PendingCall(body, Deadline.after(60.0, 0.0))


def test_a_call_is_a_span_below_the_callers_and_says_where_it_went(
    exporter: InMemorySpanExporter,
) -> None:
    with trace.get_tracer("app").start_as_current_span("request") as request:
        span = begin_span("ei-1", "s", "ab" * 32)
    assert span is not None
    made = pending()
    stream = FakeWire(OrtHost()).stream(1, LISTENER, Heard())
    made.sent(1, stream)
    made.sent(2, stream)
    account = worker_pb2.Account(queue_ns=2_000_000, compute_ns=5_000_000)
    made.answer = Incoming(answer_part(worker_pb2.Answer(account=account)))
    end_span(span, made)
    (told, _) = exporter.get_finished_spans()[::-1]
    assert told.parent is not None
    assert told.parent.span_id == request.get_span_context().span_id
    assert (told.name, told.kind) == ("eais.run", trace.SpanKind.CLIENT)
    assert dict(told.attributes or {}) == {
        "eais.instance": "ei-1",
        "eais.session": "s",
        "eais.model.sha256": "ab" * 32,
        "eais.attempts": 2,
        "eais.worker": 2,
        "eais.queue_ms": 2.0,
        "eais.compute_ms": 5.0,
    }
    context = parse_traceparent(span.traceparent)
    assert context is not None
    assert context.trace_id == f"{request.get_span_context().trace_id:032x}"
    assert told.context is not None
    assert context.parent_id == f"{told.context.span_id:016x}"
    assert context.sampled


def test_a_call_that_failed_says_of_what(exporter: InMemorySpanExporter) -> None:
    span = begin_span("ei-1", "s", "")
    assert span is not None
    made = pending()
    made.finish(make_error("BUSY", "no room"))
    end_span(span, made)
    (told,) = exporter.get_finished_spans()
    assert (told.attributes or {})["error.type"] == "BUSY"
    assert told.status.status_code is trace.StatusCode.ERROR


def test_a_long_tracestate_is_left_out(exporter: InMemorySpanExporter) -> None:
    entries = [(f"v{i}", "x" * 60) for i in range(1 + MAX_TRACESTATE // 60)]
    for state, carried in ((entries[:1], f"v0={'x' * 60}"), (entries, "")):
        context = trace.SpanContext(
            int(TRACE, 16),
            int(PARENT, 16),
            is_remote=True,
            trace_flags=trace.TraceFlags(1),
            trace_state=trace.TraceState(state),
        )
        span = trace.NonRecordingSpan(context)
        with trace.use_span(span):
            begun = CallSpan.begin({})
        assert begun is not None
        assert begun.tracestate == carried
        begun.end({})


def test_traced_calls_that_failed_are_in_the_workers_log_within_bounds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 5_000_000_000
    failures = FailureLog(lambda: now)
    with caplog.at_level(logging.INFO):
        for parent in (GOOD, "", "nonsense", f"00-{TRACE}-{PARENT}-00"):
            failures.failed(RunPart(traceparent=parent), "RUN_FAILED")
        (line,) = caplog.records
        assert (line.__dict__["reason"], line.__dict__["trace_id"]) == ("RUN_FAILED", TRACE)
        for _ in range(100):
            failures.failed(RunPart(traceparent=GOOD), "BUSY")
        assert len(caplog.records) == MOST_A_SECOND
        now += 1_000_000_000
        failures.failed(RunPart(traceparent=GOOD), "BUSY")
        assert len(caplog.records) == MOST_A_SECOND + 1


def test_each_way_to_run_sends_the_context_of_its_span(exporter: InMemorySpanExporter) -> None:
    wire = FakeWire(OrtHost(), fake_instance())
    frontend = fake_frontend(wire)
    model, feed = own_models()["mul_1"], {"X": np.ones((3, 2), np.float32)}
    session = eais.InferenceSession(model, frontend=frontend)
    ended = threading.Event()

    async def awaited() -> None:
        async with eais.aio.InferenceSession(model, frontend=frontend) as again:
            await again.run(None, feed)

    with trace.get_tracer("app").start_as_current_span("request") as request:
        session.run(None, feed)
        session.run_async(None, feed, lambda *_: ended.set(), None)
        asyncio.run(awaited())
    assert ended.wait(20.0)
    frontend.close()
    spans = [span for span in exporter.get_finished_spans() if span.name == "eais.run"]
    assert len(spans) == 3
    sent = [parse_traceparent(run.traceparent) for run in wire.streams[0].sent]
    known = {
        TraceContext(f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", True)
        for span in spans
        if span.context is not None
    }
    assert set(sent) == known
    assert {context.trace_id for context in sent if context is not None} == {
        f"{request.get_span_context().trace_id:032x}"
    }
