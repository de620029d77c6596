"""/metrics in Prometheus' text format: HTTP latencies counted here, everything else read from the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.store.control.measures import Measures
from pipelines.data.tick_parts.account import Account, total

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class Metrics:
    """The metrics of one server process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "tidemill_http_request_seconds",
            "Time from a request to the end of its answer.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._series: dict[tuple[str, str, int], Histogram] = {}  # Histogram.labels takes a lock to find one

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request. `route` is the template, so that ids make no series of their own."""
        key = (method, route, status)
        if key not in self._series:
            self._series[key] = self._seconds.labels(method, route, str(status))
        self._series[key].observe(seconds)

    def exposition(self, measures: Measures, rows: Sequence[Account], now: datetime) -> bytes:
        """All metrics as text; `rows` is what became of the rows of each part of the sources."""
        state = CollectorRegistry()
        state.register(_State(measures, rows, now))
        return generate_latest(self._registry) + generate_latest(state)


class _State(Collector):
    def __init__(self, measures: Measures, rows: Sequence[Account], now: datetime) -> None:
        self._measures, self._rows, self._now = measures, rows, now

    def collect(self) -> Iterable[Metric]:
        measures = self._measures
        yield _labelled(
            "tidemill_component_seconds", "Time the newest success took.", "component", measures.component_seconds
        )
        yield _labelled("tidemill_runs", "Runs on record by status.", "status", measures.runs_by_status)
        yield GaugeMetricFamily(
            "tidemill_queue_depth", "Runs that wait in the queue.", measures.runs_by_status.get("QUEUED", 0)
        )
        yield GaugeMetricFamily(
            "tidemill_dirty_components", "Components that the next run computes.", measures.dirty_components
        )
        yield GaugeMetricFamily(
            "tidemill_lease_takeovers",
            "Attempts on record whose process died and whose lease was taken over.",
            measures.crashed_attempts,
        )
        family = GaugeMetricFamily(
            "tidemill_source_rows", "Rows of the sources, by what became of them.", labels=("source", "fate")
        )
        for source in sorted({one.source for one in self._rows}):
            for fate, count in total(one for one in self._rows if one.source == source).items():
                family.add_metric((source, fate), count)
        yield family
        if measures.release_created_at is not None:
            age = (self._now - measures.release_created_at).total_seconds()
            yield GaugeMetricFamily("tidemill_release_age_seconds", "Age of the current release.", age)


def _labelled(name: str, text: str, label: str, values: dict[str, float] | dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in sorted(values.items()):
        family.add_metric((key,), value)
    return family
