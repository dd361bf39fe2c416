"""Answers and feedback in a store, as a server would have kept them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from progressive_tf.serving.served_rows import Answered, Feedback, ServedRequest
from progressive_tf.serving.store import Store, store_path


def keep(
    folder: Path,
    model: str,
    rows: Sequence[tuple[str, str, float]],
    *,
    began: float,
    told: Sequence[str | None] = (),
    version: int = 1,
    seconds: float = 60.0,
    caller: int | None = None,
) -> None:
    """Keeps (text, label said, its probability) as requests, one every some seconds, and what users told.

    Args:
        folder: the server's `--store`.
        model: its name.
        rows: in the order of time.
        began: when the first came; seconds since 1970.
        told: the right label of each; None where nobody said.
        version: that answered.
        seconds: between two.
        caller: who asked; None for a caller of its own for each row.
    """
    store = Store(store_path(folder, model))
    ids = [uuid.UUID(int=place + int(began) * 10**6).hex for place in range(len(rows))]
    store.add(
        ServedRequest(
            began + place * seconds,
            version,
            "stable",
            0,
            200,
            0.01,
            [Answered(ids[place], label, [1 - sure, sure], {"text": text})],
            caller=int(began) * 10**6 + place if caller is None else caller,
        )
        for place, (text, label, sure) in enumerate(rows)
    )
    for place, label in enumerate(told):
        if label is not None:
            store.add_feedback(Feedback(ids[place], label=label), began + place * seconds + 1)
    store.close()
