"""Small files in odd forms, as strangers bring them."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

QUIET = {
    "bill": "the bill {} for last month is wrong",
    "parcel": "where is my parcel number {} now",
    "app": "the app shows error {} again",
}
WORDS = ("please", "thanks", "soon", "today", "help", "again", "really", "urgent", "kindly", "later", "maybe", "always")


def rows(count: int = 400, seed: int = 1) -> list[dict[str, str]]:
    """Returns tickets: id, date, customer, priority, amount with a decimal comma, message and topic."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        topic = draw.choices(list(QUIET), [5, 3, 2])[0]
        further = " ".join(draw.sample(WORDS, 6))
        made.append(
            {
                "ticket_id": f"T-{number:05d}",
                "created": f"2024-{1 + 12 * number // count:02d}-{1 + number % 28:02d}",
                "customer_id": f"C{draw.randrange(count // 3)}",
                "priority": draw.choice(("high", "low")),
                "amount": f"{draw.random() * 90:.2f}".replace(".", ","),
                "message": f"{QUIET[topic].format(draw.randrange(1000, 9999))} {further}",
                "topic": topic,
            }
        )
    return made


def write_csv(path: Path, made: Sequence[dict[str, Any]], delimiter: str = ",", header: bool = True) -> Path:
    """Writes rows as a table."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(made[0]), delimiter=delimiter, lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(made)
    return path


def write_lines(path: Path, values: Sequence[Any]) -> Path:
    """Writes a JSON value a line."""
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8")
    return path


def only(made: Sequence[dict[str, str]], *names: str) -> list[dict[str, str]]:
    """Returns rows with some of their columns."""
    return [{name: row[name] for name in names} for row in made]
