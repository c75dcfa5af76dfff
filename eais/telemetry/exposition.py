"""Readings as the text that Prometheus reads. Needs prometheus-client: servers alone import it.

Without its default registry, whose process metrics aren't ours, and without its server, which
has threads of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from eais import __version__
from eais.telemetry import latency
from eais.telemetry import metrics as m

Readings = Callable[[], Iterable[m.Reading]]
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

_FAMILIES: Final[dict[m.Kind, type[Family]]] = {
    m.Kind.COUNTER: CounterMetricFamily,
    m.Kind.GAUGE: GaugeMetricFamily,
    m.Kind.HISTOGRAM: HistogramMetricFamily,
}
_EACH: Final = 4
"""Of our buckets, how many become one of Prometheus': its bounds double."""


class _Collector(Collector):
    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def describe(self) -> Iterable[Family]:
        return ()

    def collect(self) -> Iterator[Family]:
        families: dict[str, Family] = {}
        for reading in (m.Reading(m.BUILD, 1, (__version__,)), *self._readings()):
            metric = reading.metric
            family = families.get(metric.name)
            if family is None:
                make = _FAMILIES[metric.kind]
                family = families[metric.name] = make(
                    metric.name, metric.help, labels=metric.labels
                )
            _add(family, reading)
        yield from families.values()


def _add(family: Family, reading: m.Reading) -> None:
    value = reading.value
    if isinstance(family, HistogramMetricFamily):
        if not isinstance(value, m.Histogram):
            raise TypeError(f"{reading.metric.name} is a histogram")
        family.add_metric(reading.labels, _buckets(value.counts), value.sum_s)
    elif isinstance(value, m.Histogram):
        raise TypeError(f"{reading.metric.name} is no histogram")
    else:
        family.add_metric(reading.labels, value)


def _buckets(counts: latency.Counts) -> list[tuple[str, float]]:
    """Upper bounds in seconds, and how many were within."""
    whole = [*counts, *[0] * (latency.BUCKETS - len(counts))]
    within = list(accumulate(whole))
    bounds = range(0, len(latency.BOUNDS_NS), _EACH)
    found = [(repr(latency.BOUNDS_NS[i] / 1e9), float(within[i])) for i in bounds]
    return [*found, ("+Inf", float(within[-1]))]


def render(readings: Readings, accept: str = "") -> tuple[bytes, str]:
    """The text, and its content type, in the format that `accept` (a header) prefers."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(readings))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
