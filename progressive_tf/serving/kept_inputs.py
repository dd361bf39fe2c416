"""What is kept of an input: JSON-like values, as a hook of the operator's lets them."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np

from progressive_tf.serving.instances import Instance
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.pairs import json_of

Redact = Callable[[dict[str, Any]], Mapping[str, Any] | None]

HOOK_SECONDS = 5.0

log = logging.getLogger("progressive_tf.serving")


class KeptInputs:
    """What may be kept of inputs and texts.

    Args:
        redact: the hook, see `LogSettings`; None for all of it.
        metrics: count what is left out as the hook fails.
    """

    def __init__(self, redact: Redact | None, metrics: Metrics) -> None:
        self.redact = redact
        self._metrics = metrics
        self._under_way: Future[Mapping[str, Any] | None] | None = None
        self._said = ""  # of the hook, since it last did what it should

    def kept(self, instance: Instance, said: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Returns an instance and what was written for it, as may be kept; None for nothing."""
        values = {name: _plain(value.tolist()) for name, value in instance.items()} | dict(said)
        return values if self.redact is None else self.redacted(values)

    def redacted(self, values: dict[str, Any]) -> Mapping[str, Any] | None:
        """Returns what the hook lets through; nothing where it fails, which must not fail the request, or has no end.

        It runs in a thread of its own, so that one that hangs keeps nothing else from being written; until it has come
        back it is not asked again.
        """
        if self._under_way is not None and not self._under_way.done():
            self._metrics.not_kept.labels("input").inc()
            return None
        answer: Future[Mapping[str, Any] | None] = Future()
        self._under_way = answer
        threading.Thread(target=self._ask, args=(values, answer), name="redact", daemon=True).start()
        try:
            kept = answer.result(HOOK_SECONDS)
            self._said = ""
            return kept
        except Exception as error:
            said = (
                "failed" if answer.done() else f"has not come back for {HOOK_SECONDS:g} s, and is not asked until then"
            )
            if self._said != f"{said} {error!r}":  # a caller must not be able to fill the log
                log.error("the redaction hook %s; what it is given is not kept", said, exc_info=error)
            self._said = f"{said} {error!r}"
            self._metrics.not_kept.labels("input").inc()
            return None

    def _ask(self, values: dict[str, Any], answer: Future[Mapping[str, Any] | None]) -> None:
        assert self.redact is not None
        try:
            kept = self.redact(values)
            if kept is not None and not isinstance(kept, Mapping):
                raise TypeError(f"a mapping or None expected; got {type(kept).__name__}")
            # As it is written: half of a surrogate pair is no character, and what is kept changes no more.
            answer.set_result(None if kept is None else json.loads(json_of(kept).encode()))
        except Exception as error:
            answer.set_exception(error)
        except BaseException as error:  # to leave is not the hook's to decide
            failed = RuntimeError(f"it raised {type(error).__name__}")
            failed.__cause__ = error
            answer.set_exception(failed)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode("ascii")}
    return value if not isinstance(value, np.generic) else value.item()
