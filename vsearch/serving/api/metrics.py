from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """What Prometheus is told; a registry of one service."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "vsearch_requests_total",
            "Requests answered.",
            ["route", "method", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "vsearch_request_seconds",
            "From the headers to the answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "vsearch_requests_in_flight", "Requests taken in, not yet answered.", registry=registry
        )
        self.waiting = Gauge(
            "vsearch_photos_waiting", "Photos waiting to be embedded.", registry=registry
        )
        self.batches = Histogram(
            "vsearch_batch_photos",
            "Photos embedded together.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self.steps = Histogram(
            "vsearch_step_seconds",
            "Seconds of a step, waiting included.",
            ["step"],
            buckets=SECONDS,
            registry=registry,
        )
        self.reloads = Counter(
            "vsearch_reloads_total", "Bundles swapped in.", ["result"], registry=registry
        )
        self.bundle = Gauge(
            "vsearch_bundle",
            "1 for the bundle that is served.",
            ["fingerprint", "generation"],
            registry=registry,
        )
        self.items = Gauge("vsearch_items", "Items indexed.", registry=registry)
