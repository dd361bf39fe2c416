"""What a store's queries ask about the words of versions: functions of SQL, each of JSON as the store has it."""

from __future__ import annotations

import json
import sqlite3
from functools import lru_cache

from progressive_tf.registry.label_lineage import LabelLineage

_MOST_KEPT = 4096  # answers repeat


def compare_by(connection: sqlite3.Connection, lineage: LabelLineage) -> None:
    """Gives a connection two functions, in place of those that it had.

    - `is_right(version, said, truth)`: 1, 0, or NULL where nothing is known; see `LabelLineage.is_right`.
    - `agree(version, said, other, says)`: 1 or 0; see `LabelLineage.agree`.
    """

    @lru_cache(_MOST_KEPT)
    def is_right(version: int, said: str, truth: str) -> bool | None:
        return said == truth or lineage.is_right(version, json.loads(said), json.loads(truth))

    @lru_cache(_MOST_KEPT)
    def agree(version: int, said: str, other: int, says: str) -> bool:
        return said == says or lineage.agree((version, json.loads(said)), (other, json.loads(says)))

    connection.create_function("is_right", 3, is_right, deterministic=True)
    connection.create_function("agree", 4, agree, deterministic=True)
