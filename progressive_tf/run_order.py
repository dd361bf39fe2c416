"""Which run of a folder is the newest: counted, because a clock may be set back between two of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from progressive_tf.errors import ProgressiveError
from progressive_tf.files import DamagedRecordError, read_json, write_json

ORDER_FILE = "order.json"


def number_run(run: Path) -> None:
    """Numbers a new run after all others in its folder, whose lock the caller holds.

    One whose number cannot be read does not keep a new one from beginning.
    """
    highest = 0
    for other in run.parent.glob("*/"):
        with contextlib.suppress(ProgressiveError):
            highest = max(highest, _number(other))
    write_json(run / ORDER_FILE, {"number": highest + 1})


def in_order(runs: Iterable[Path]) -> list[Path]:
    """Returns runs of one folder, the newest last; those of releases that did not count come first, by their names.

    Raises:
        ProgressiveError: the number of a run cannot be read.
    """
    return sorted(runs, key=lambda run: (_number(run), run.name))


def _number(run: Path) -> int:
    path = run / ORDER_FILE
    if not path.exists():
        return 0
    try:
        record = read_json(path)
    except DamagedRecordError:
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("number"), int):
        raise ProgressiveError(
            f'{path}: expected {{"number": N}}; restore it from a copy, or delete it, and the run counts as the oldest'
        )
    return int(record["number"])
