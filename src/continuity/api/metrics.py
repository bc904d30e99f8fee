"""What the API counts, for Prometheus. Labels are routes and statuses, never a project, a workflow or a tenant."""

import time
from collections.abc import Callable

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS_BUCKETS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meter:
    """Counters of one application; a registry of its own, so that several can live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "continuity_http_requests", "Answered requests.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "continuity_http_request_seconds",
            "Time from the first byte of a request to its answer.",
            ("route",),
            buckets=SECONDS_BUCKETS,
            registry=self._registry,
        )
        self._outcomes = Counter("continuity_commands", "Outcomes of commands.", ("outcome",), registry=self._registry)

    def watch_in_flight(self, count: Callable[[], float]) -> None:
        """Show how many requests are inside, asked when scraped."""
        Gauge("continuity_http_in_flight", "Requests inside.", registry=self._registry).set_function(count)

    def route(self, route: str) -> Callable[[int, float], None]:
        """An observer of one route: it takes the status and the start (`time.perf_counter`)."""
        seconds = self._seconds.labels(route)
        by_status: dict[int, Counter] = {}

        def observe(status: int, started: float) -> None:
            # Looking a child up by its labels costs 1.5 µs and a lock: it is kept.
            counter = by_status.get(status)
            if counter is None:
                counter = by_status.setdefault(status, self._requests.labels(route, str(status)))
            counter.inc()
            seconds.observe(time.perf_counter() - started)

        return observe

    def outcome(self, status: str) -> None:
        """Count what became of a command."""
        self._outcomes.labels(status).inc()

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes: this application's, then those of the process and of the client."""
        return generate_latest(self._registry) + generate_latest(REGISTRY)
