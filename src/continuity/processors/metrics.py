"""What a sequencer process tells Prometheus. Reads the loop's own counts when it is asked; never a label a workflow."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import REGISTRY, Collector

from continuity.processors.loop import Loop

COUNTERS = {
    "restores": ("continuity_restores", "Cold workflows restored."),
    "events_replayed": ("continuity_events_replayed", "Events applied while restoring."),
    "marks": ("continuity_marks", "Batches that were closed by a mark."),
    "reopened": ("continuity_reopened", "Times this process threw its producer away and opened again."),
    "commands_lost": ("continuity_commands_lost", "Commands that retention deleted before they were decided."),
    "answers_dropped": ("continuity_answers_dropped", "Replies and rejections that could not be sent."),
    "answered_from_before": ("idempotency_cache_hits", "Commands answered from what was accepted before."),
    "not_acquired": ("lease_acquisition_failures", "Leases and claims that were refused."),
}
OUTCOMES = ("accepted", "duplicate", "answered", "refused", "unavailable")


class _LoopCollector(Collector):
    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def collect(self) -> Iterator[Metric]:
        counts = self._loop.counts
        commands = CounterMetricFamily("continuity_commands", "Command records decided.", labels=["outcome"])
        for outcome in OUTCOMES:
            commands.add_metric([outcome], counts[outcome])
        yield commands
        for key, (name, text) in COUNTERS.items():
            yield CounterMetricFamily(name, text, value=counts[key])
        yield GaugeMetricFamily("continuity_warm_workflows", "States in memory.", value=self._loop.warm_workflows)
        yield GaugeMetricFamily("continuity_in_flight", "Records on their way to the log.", value=self._loop.in_flight)


def export(loop: Loop) -> None:
    """Add the loop to the default registry; once a process."""
    REGISTRY.register(_LoopCollector(loop))
