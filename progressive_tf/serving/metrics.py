"""What the server counts, in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_DIFFERENCES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters, gauges and histograms of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        which = ["model", "version", "alias"]
        self.requests = Counter(
            "progressive_tf_requests", "Prediction requests by status.", [*which, "status"], registry=self.registry
        )
        self.latency = Histogram(
            "progressive_tf_request_seconds",
            "Seconds from the first byte to the reply.",
            which,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "progressive_tf_batch_size",
            "Instances of a batch.",
            ["model", "version"],
            buckets=_SIZES,
            registry=self.registry,
        )
        self.shadowed = Counter(
            "progressive_tf_shadow_instances",
            "Instances that the shadow was given: it says the same, something else, fails, or had no time.",
            ["model", "version", "outcome"],
            registry=self.registry,
        )
        self.shadow_difference = Histogram(
            "progressive_tf_shadow_difference",
            "Largest difference between a probability of the shadow and of the version that answered.",
            ["model", "version"],
            buckets=_DIFFERENCES,
            registry=self.registry,
        )
        self.feedback = Counter(
            "progressive_tf_feedback",
            "Feedback by what it has: label, correct or rating. The version is empty where its prediction is unknown.",
            ["model", "version", "kind"],
            registry=self.registry,
        )
        self.not_kept = Counter(
            "progressive_tf_not_kept",
            "What found no room while the store could not be written, and inputs that the redaction hook failed on.",
            ["kind"],
            registry=self.registry,
        )
        self.cut_inputs = Counter(
            "progressive_tf_cut_inputs",
            "Texts of which the end was not read, since they have more tokens than the version reads.",
            ["model", "version"],
            registry=self.registry,
        )
        self.cut_answers = Counter(
            "progressive_tf_cut_answers",
            "Texts that were not written to their end, since they would be longer than the version writes.",
            ["model", "version"],
            registry=self.registry,
        )
        self.unknown_cells = Counter(
            "progressive_tf_unknown_cells",
            "Values of a table's column that say nothing to the version: no number, or a category it has never seen.",
            ["model", "version", "column"],
            registry=self.registry,
        )
        self.queued = Gauge(
            "progressive_tf_queued_instances", "Instances that wait for a batch.", registry=self.registry
        )
        self.canary_percent = Gauge(
            "progressive_tf_canary_percent",
            "Percent of the callers that the canary answers; 0 without one, or while it is paused.",
            ["model"],
            registry=self.registry,
        )
        self.canary_decision = Gauge(
            "progressive_tf_canary_decision",
            "1 for what the evidence says of the canary: widen, wait, hold or rollback; 0 for the others.",
            ["model", "version", "outcome"],
            registry=self.registry,
        )
        self.alias = Gauge(
            "progressive_tf_alias_version",
            "The version that an alias is served by.",
            which[::2],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Returns all of them as `/metrics` gives them."""
        return generate_latest(self.registry)
