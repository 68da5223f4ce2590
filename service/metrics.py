"""What Prometheus reads, one registry per application."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counters of one instance."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "jiesu_requests", "HTTP requests", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "jiesu_request_seconds",
            "Time to answer",
            ["route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.suggestions = Counter(
            "jiesu_suggestions", "Suggestions by advice", ["advice"], registry=self.registry
        )
        self.decisions = Counter(
            "jiesu_decisions", "Decisions by kind", ["kind"], registry=self.registry
        )
        self.refused = Counter("jiesu_overload", "Requests refused", registry=self.registry)
        self.in_flight = Gauge("jiesu_in_flight", "Suggestions under way", registry=self.registry)
        self.waiting = Gauge("jiesu_store_waiting", "Records to write", registry=self.registry)
        self.away = Gauge(
            "jiesu_store_away", "1 while records go to the spool", registry=self.registry
        )
        self.spooled = Gauge("jiesu_spooled", "Records ever spooled", registry=self.registry)
        self.lost = Gauge("jiesu_lost", "Suggestions not recorded", registry=self.registry)
        self.webhook_failures = Gauge(
            "jiesu_webhook_failures", "Deliveries to try again", registry=self.registry
        )
        self.shadow_skipped = Counter(
            "jiesu_shadow_skipped", "Shadow answers skipped", registry=self.registry
        )

    def render(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self.registry)
