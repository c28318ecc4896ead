from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Metrics for Prometheus, in a registry for one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)

        self.requests = counter(
            "vsearch_requests_total", "Requests answered.", ["route", "method", "status"]
        )
        self.seconds = histogram(
            "vsearch_request_seconds", "From the headers to the answer.", ["route"], buckets=SECONDS
        )
        self.in_flight = gauge("vsearch_requests_in_flight", "Accepted requests without an answer.")
        self.waiting = gauge("vsearch_photos_waiting", "Photos waiting to be embedded.")
        self.batches = histogram(
            "vsearch_batch_photos", "Photos embedded together.", buckets=(1, 2, 4, 8, 16, 32, 64)
        )
        self.steps = histogram(
            "vsearch_step_seconds",
            "Seconds of a step, waiting included.",
            ["step"],
            buckets=SECONDS,
        )
        self.reloads = counter("vsearch_reloads_total", "Bundles swapped in.", ["result"])
        self.bundle = gauge(
            "vsearch_bundle", "1 for the served bundle.", ["fingerprint", "generation"]
        )
        self.items = gauge("vsearch_items", "Items indexed.")
