"""Which rows of a store are too old to be kept, by clocks that may be wrong.

A clock that was far ahead at one start of a server must not make everything look old, and one that was behind must not
make what was kept meanwhile look old later. So rows go in the order in which they came: a row with an early time that
came after one that is kept stays with it. And where nothing came for longer than rows are kept, so that by the clock
all that came before would go at once, it goes as if no time had passed, until what came since is as old as that itself.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from progressive_tf.serving.store_schema import LOWERED_MARKS

# So many rows of each table are removed at a time, since whoever writes or reads waits meanwhile.
MOST_AT_A_TIME = 500
_TABLES = "requests", "shadows", "feedback", "pairs"
_OLDEST = "SELECT id, time FROM {} ORDER BY id LIMIT ?"
_NEIGHBOURS = """
    SELECT (SELECT max(time) FROM requests WHERE time < :before), (SELECT min(time) FROM requests WHERE time >= :before)
"""
_ABOUT = "SELECT max(request) FROM {} JOIN predictions ON predictions.id = prediction WHERE {}.id <= ?"


@dataclass(frozen=True)
class Pruned:
    """What was removed.

    Args:
        rows: how many.
        last_request: the highest id of a request that was removed, or about whose answers something was; None for none.
        is_emptied: whether a table has no rows now, so that the next one is given a number that was given before.
    """

    rows: int = 0
    last_request: int | None = None
    is_emptied: bool = False


def prune(connection: sqlite3.Connection, before: float, seconds: float) -> Pruned:
    """Removes the first rows of a store, `MOST_AT_A_TIME` of each table at most, in a transaction.

    Args:
        connection: to a store.
        before: rows with an earlier time are too old; seconds since 1970.
        seconds: how long rows are kept; > 0.
    """
    last, first = connection.execute(_NEIGHBOURS, {"before": before}).fetchone()
    if last is not None and first is not None and first - last > seconds:
        before = last - seconds
    rows, touched, is_emptied = 0, list[int](), False
    for table in _TABLES:
        oldest = connection.execute(_OLDEST.format(table), [MOST_AT_A_TIME]).fetchall()
        gone = 0
        while gone < len(oldest) and oldest[gone][1] < before:
            gone += 1
        if gone == 0:
            continue
        until = oldest[gone - 1][0]
        if table == "requests":
            touched.append(until)
        elif table != "pairs":
            (about,) = connection.execute(_ABOUT.format(table, table), [until]).fetchone()
            touched += [] if about is None else [about]
        connection.execute(f"DELETE FROM {table} WHERE id <= ?", [until])
        rows += gone
        is_emptied |= connection.execute(f"SELECT max(id) FROM {table}").fetchone() == (None,)
    if rows:
        connection.execute(LOWERED_MARKS)
    return Pruned(rows, max(touched, default=None), is_emptied)
