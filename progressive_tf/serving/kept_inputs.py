"""What is kept of an input: JSON-like values, as a hook of the operator's lets them."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from progressive_tf.serving.instances import Instance
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.pairs import json_of

Redact = Callable[[dict[str, Any]], Mapping[str, Any] | None]

log = logging.getLogger("progressive_tf.serving")


@dataclass(frozen=True)
class KeptInputs:
    """What may be kept of inputs and texts.

    Args:
        redact: the hook, see `LogSettings`; None for all of it.
        metrics: count what is left out as the hook fails.
    """

    redact: Redact | None
    metrics: Metrics

    def kept(self, instance: Instance, said: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Returns an instance and what was written for it, as may be kept; None for nothing."""
        values = {name: _plain(value.tolist()) for name, value in instance.items()} | dict(said)
        return values if self.redact is None else self.redacted(values)

    def redacted(self, values: dict[str, Any]) -> Mapping[str, Any] | None:
        """Returns what the hook lets through; nothing where it fails, which must not fail the request."""
        assert self.redact is not None
        try:
            kept = self.redact(values)
            if kept is not None and not isinstance(kept, Mapping):
                raise TypeError(f"a mapping or None expected; got {type(kept).__name__}")
            json_of(kept).encode()  # as it is written: half of a surrogate pair is no character
            return kept
        except Exception:
            log.exception("the redaction hook failed; what it was given is not kept")
            self.metrics.not_kept.labels("input").inc()
            return None


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode("ascii")}
    return value if not isinstance(value, np.generic) else value.item()
