"""What the server counts, in Prometheus' text format; of inputs that were not read as a whole it warns too."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from progressive_tf.models.preprocessing import INPUT_TOKENS, UNKNOWN_CELLS, USED_TOKENS

log = logging.getLogger("progressive_tf.serving")

OTHER = "other"  # whatever nobody foresaw, so that callers make no labels
IS_WHOLE, ABSTAINED, UNKNOWN = "is_whole", "abstained", "unknown"
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_DIFFERENCES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters, gauges and histograms of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter, gauge = partial(Counter, registry=self.registry), partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        which = ["model", "version", "alias"]
        self.responses = counter(
            "progressive_tf_http_responses",
            "Replies to all requests by route, method and status; what no route has is of route other.",
            ["route", "method", "status"],
        )
        self.grpc_calls = counter(
            "progressive_tf_grpc_calls",
            "Calls over gRPC by method and code.",
            ["method", "code"],
        )
        self.in_flight = gauge(
            "progressive_tf_requests_in_flight", "Requests that are being answered, the one for this page among them."
        )
        self.requests = counter("progressive_tf_requests", "Prediction requests by status.", [*which, "status"])
        self.latency = histogram(
            "progressive_tf_request_seconds", "Seconds from the first byte to the reply.", which, buckets=_SECONDS
        )
        self.batch_size = histogram(
            "progressive_tf_batch_size", "Instances of a batch.", ["model", "version"], buckets=_SIZES
        )
        self.queue_wait = histogram(
            "progressive_tf_queue_wait_seconds",
            "Seconds that an instance waited for its batch to begin.",
            ["model", "version"],
            buckets=(0.001, *_SECONDS),
        )
        self.shadowed = counter(
            "progressive_tf_shadow_instances",
            "Instances that the shadow, or a second version, was given: it says the same, other, fails, had no time.",
            ["model", "version", "outcome"],
        )
        self.shadow_difference = histogram(
            "progressive_tf_shadow_difference",
            "Largest difference between a probability of the shadow and of the version that answered.",
            ["model", "version"],
            buckets=_DIFFERENCES,
        )
        self.feedback = counter(
            "progressive_tf_feedback",
            "Feedback by what it has: label, correct or rating. The version is empty where its prediction is unknown.",
            ["model", "version", "kind"],
        )
        self.not_kept = counter(
            "progressive_tf_not_kept",
            "What found no room while the store could not be written, and inputs that the redaction hook failed on.",
            ["kind"],
        )
        self.cut_inputs = counter(
            "progressive_tf_cut_inputs",
            "Texts of which the end was not read, since they have more tokens than the version reads.",
            ["model", "version"],
        )
        self.cut_answers = counter(
            "progressive_tf_cut_answers",
            "Texts that were not written to their end, since they would be longer than the version writes.",
            ["model", "version"],
        )
        self.abstained = counter(
            "progressive_tf_abstained",
            "Answers that were not sure enough to be one: less probable than the threshold of the version.",
            ["model", "version"],
        )
        self.unknown_inputs = counter(
            "progressive_tf_unknown_inputs",
            "Inputs that are like nothing the version has learnt, as its answers say, where its plan asks for that.",
            ["model", "version"],
        )
        self.unknown_cells = counter(
            "progressive_tf_unknown_cells",
            "Values of a table's column that say nothing to the version: no number, or a category it has never seen.",
            ["model", "version", "column"],
        )
        self.problems = gauge(
            "progressive_tf_problems",
            "What is wrong now, as /readyz says it, by what it is about: journal, version, canary, store and others.",
            ["kind"],
        )
        self.store_lost = counter(
            "progressive_tf_store_lost",
            "Times that the store's file was gone, or another one in its place, while the server ran.",
        )
        self.queued = gauge("progressive_tf_queued_instances", "Instances that wait for a batch.")
        self.canary_percent = gauge(
            "progressive_tf_canary_percent",
            "Percent of the callers that the canary answers; 0 without one, or while it is paused.",
            ["model"],
        )
        self.canary_decision = gauge(
            "progressive_tf_canary_decision",
            "1 for what the evidence says of the canary: widen, wait, hold or rollback; 0 for the others.",
            ["model", "version", "outcome"],
        )
        self.stable_by = gauge(
            "progressive_tf_stable_released_by",
            "1 for what the stable version was released by: proof, no sign of harm, gate or person.",
            ["model", "version", "by"],
        )
        self.alias = gauge(
            "progressive_tf_alias_version", "The version that an alias is served by.", ["model", "alias"]
        )

    def note_refused(self, status: int) -> None:
        """Counts a reply to what was no whole request, so that nobody knows its route and method."""
        self.responses.labels(OTHER, OTHER, status).inc()

    def text(self) -> bytes:
        """Returns all of them as `/metrics` gives them."""
        return generate_latest(self.registry)


def is_unknown(outputs: Mapping[str, Any]) -> bool | None:
    """Whether an input is like nothing the version has learnt; None where the version does not say."""
    return bool(outputs[UNKNOWN]) if UNKNOWN in outputs else None


def was_cut(outputs: Mapping[str, Any]) -> bool | None:
    """Whether a part of a text was not read; None where the version does not say, or its inputs are no texts."""
    if INPUT_TOKENS not in outputs:
        return None
    return bool(outputs[INPUT_TOKENS] > outputs[USED_TOKENS])


def abstained(outputs: Mapping[str, Any]) -> bool | None:
    """Whether the version abstains from the answer; None where it always answers."""
    return bool(outputs[ABSTAINED]) if ABSTAINED in outputs else None


class Unread:
    """Counts answers to inputs that were not read as a whole or are unknown, and answers that were not written to their
    end or are none, as the version abstains.
    """

    def __init__(self, model: str, metrics: Metrics) -> None:
        self._model = model
        self._metrics = metrics
        self._said: set[tuple[int, str]] = set()

    def note(self, version: int, answers: Sequence[Mapping[str, Any]]) -> None:
        """Counts the answers of a request, the outputs of each instance, that a version gave."""
        for outputs in answers:
            if was_cut(outputs):
                self._metrics.cut_inputs.labels(self._model, version).inc()
                self._say(
                    version,
                    "cut",
                    f"read {outputs[USED_TOKENS]} of the {outputs[INPUT_TOKENS]} tokens of a text, and not what is "
                    "behind them; progressive_tf_cut_inputs_total counts such texts",
                )
            if is_unknown(outputs):
                self._metrics.unknown_inputs.labels(self._model, version).inc()
            if outputs.get(IS_WHOLE) is False:
                self._metrics.cut_answers.labels(self._model, version).inc()
                self._say(
                    version,
                    IS_WHOLE,
                    "did not write a text to its end, which would be longer than model.max_target_length; "
                    "progressive_tf_cut_answers_total counts such texts",
                )
            if abstained(outputs):
                self._metrics.abstained.labels(self._model, version).inc()
            for column in outputs.get(UNKNOWN_CELLS, ()):
                self._metrics.unknown_cells.labels(self._model, version, column).inc()
                self._say(
                    version,
                    column,
                    f"got a value of column {column!r} that says nothing to it: no number, or a category that training "
                    "did not have; progressive_tf_unknown_cells_total counts such values",
                )

    def _say(self, version: int, what: str, message: str) -> None:
        if (version, what) not in self._said:
            self._said.add((version, what))
            log.warning("version %d %s", version, message)
