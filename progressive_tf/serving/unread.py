"""What a version did not read of its inputs, or did not write to the end: counted, and said once in the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from progressive_tf.models.preprocessing import INPUT_TOKENS, UNKNOWN_CELLS, USED_TOKENS
from progressive_tf.serving.metrics import Metrics

IS_WHOLE = "is_whole"

log = logging.getLogger("progressive_tf.serving")


def was_cut(outputs: Mapping[str, Any]) -> bool | None:
    """Whether a part of a text was not read; None where the version does not say, or its inputs are no texts."""
    if INPUT_TOKENS not in outputs:
        return None
    return bool(outputs[INPUT_TOKENS] > outputs[USED_TOKENS])


class Unread:
    """Counts answers to inputs that were not read as a whole, and answers that were not written to their end.

    Args:
        model: its name.
        metrics: count it.
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
            if outputs.get(IS_WHOLE) is False:
                self._metrics.cut_answers.labels(self._model, version).inc()
                self._say(
                    version,
                    IS_WHOLE,
                    "did not write a text to its end, which would be longer than model.max_target_length; "
                    "progressive_tf_cut_answers_total counts such texts",
                )
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
