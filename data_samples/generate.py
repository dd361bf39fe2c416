"""Writes the sample files of this folder: short made-up reviews in each format the readers take, and a vocabulary.

    python data_samples/generate.py [FOLDER]

The same rows come out on every machine. The README says how a sentence is made.
"""

from __future__ import annotations

import csv
import json
import random
import re
import string
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SEED = 20240607
ROWS = 600
LABEL_NOISE = 0.05
CONTRAST = 0.05
NEGATION = 0.06
PLAIN = 0.03
OPENED = 0.35
TAILED = 0.5

BOTH = ("ending", "dialogue", "hero", "beginning")
SUBJECTS = {
    "film": ("film", "movie", "plot", "acting", "camera", "cast", "director", "soundtrack", "comedy", *BOTH),
    "book": ("book", "novel", "story", "writing", "prose", "chapter", "author", "translation", "essay", *BOTH),
}
GOOD = {
    5: ("wonderful", "superb", "brilliant", "perfect"),
    4: ("good", "funny", "clever", "charming"),
}
BAD = {
    1: ("awful", "terrible", "horrible", "pathetic"),
    2: ("bad", "dull", "boring", "clumsy"),
}
OPPOSITE = {"good": 2, "funny": 2, "clever": 2, "bad": 4, "dull": 4, "boring": 4, "clumsy": 4}
"""Words that are also said with a negation, and the stars of the negated word."""

OPENINGS = (
    "to be honest",
    "in my opinion",
    "as a friend told me",
    "after a long week",
    "on a rainy sunday",
    "for the second time",
    "compared with the first part",
    "without any plan",
)
VERBS = ("is", "was", "seems", "felt", "remains", "looked")
DEGREES = ("", "", "", "really", "quite", "so", "truly", "rather")
NEGATIONS = ("not", "never", "hardly")
TAILS = (
    "from start to finish",
    "in the middle part",
    "for a whole evening",
    "in almost every scene",
    "for a reader like me",
    "even on a small screen",
    "with my sister and two friends",
    "in spite of the many clichés",
    "and it has about 300 pages",
    "and it took two hours",
    "as i heard it would be",
)
ENDINGS = (".", ".", ".", "!", "...")

PLAIN_NOUNS = ("ticket", "cover", "poster", "shelf", "seat")
PLAIN_FACTS = ("came from a small town", "was printed in green", "stood next to the door", "cost less than lunch")

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class Review:
    """One row of the samples."""

    text: str
    label: str
    stars: int
    source: str


COLUMNS = ("text", "label", "stars", "source")


def reviews() -> list[Review]:
    """Returns the rows: half positive and half negative before labels are flipped, no two alike when folded."""
    draw = random.Random(SEED)
    rows: dict[str, Review] = {}
    while len(rows) < ROWS:
        source = draw.choice(("film", "book"))
        positive = len(rows) % 2 == 0
        text, stars = _sentence(draw, source, positive)
        flipped = draw.random() < LABEL_NOISE
        label = "positive" if positive != flipped else "negative"
        rows.setdefault(folded(text), Review(text, label, stars, source))
    mixed = list(rows.values())
    draw.shuffle(mixed)
    return mixed


def folded(text: str) -> str:
    """Returns a text without case, accents, punctuation and spacing; near-identical texts become the same."""
    bare = unicodedata.normalize("NFD", text.lower())
    return " ".join(re.findall(r"[a-z0-9]+", "".join(c for c in bare if not unicodedata.combining(c))))


def _sentence(draw: random.Random, source: str, positive: bool) -> tuple[str, int]:
    kind = draw.random()
    if kind < PLAIN:
        verdict, stars = _plain(draw), 3
    elif kind < PLAIN + CONTRAST:
        first, _ = _claim(draw, source, not positive)
        second, stars = _claim(draw, source, positive)
        verdict = f"{first}, but {second}"
    else:
        verdict, stars = _claim(draw, source, positive)
    opening = draw.choice(OPENINGS) if draw.random() < OPENED else ""
    tail = draw.choice(TAILS) if draw.random() < TAILED else ""
    text = f"{opening}, {verdict}" if opening else verdict
    text = f"{text} {tail}" if tail else text
    return text[0].upper() + text[1:] + draw.choice(ENDINGS), stars


def _claim(draw: random.Random, source: str, positive: bool) -> tuple[str, int]:
    subject = f"{draw.choice(('the', 'this'))} {draw.choice(SUBJECTS[source])} {draw.choice(VERBS)}"
    if draw.random() < NEGATION:
        fitting = [word for word, stars in OPPOSITE.items() if (stars > 3) == positive]
        word = draw.choice(fitting)
        return f"{subject} {draw.choice(NEGATIONS)} {word}", OPPOSITE[word]
    by_stars = GOOD if positive else BAD
    stars = draw.choice(tuple(by_stars))
    degree = draw.choice(DEGREES)
    return f"{subject} {degree + ' ' if degree else ''}{draw.choice(by_stars[stars])}", stars


def _plain(draw: random.Random) -> str:
    return f"the {draw.choice(PLAIN_NOUNS)} {draw.choice(PLAIN_FACTS)}"


def vocabulary(rows: Sequence[Review]) -> list[str]:
    """Returns WordPiece tokens in the order of their ids: special ones, characters, continuations, whole words."""
    characters = string.ascii_lowercase + string.digits
    words = sorted({word for row in rows for word in folded(row.text).split() if len(word) > 1})
    return [
        *SPECIAL_TOKENS,
        *string.punctuation,
        *characters,
        *(f"##{character}" for character in characters),
        *words,
    ]


def write(folder: Path) -> None:
    """Writes every sample file into `folder`."""
    rows = reviews()
    folder.mkdir(parents=True, exist_ok=True)
    records = [{column: getattr(row, column) for column in COLUMNS} for row in rows]
    for name, delimiter in (("reviews.csv", ","), ("reviews.tsv", "\t")):
        with (folder / name).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, delimiter=delimiter, lineterminator="\n")
            writer.writeheader()
            writer.writerows(records)
    _write_lines(folder / "reviews.jsonl", (json.dumps(record, ensure_ascii=False) for record in records))
    _write_parquet(folder / "reviews.parquet", records)
    _write_lines(folder / "vocab.txt", iter(vocabulary(rows)))


def _write_lines(path: Path, lines: Iterator[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _write_parquet(path: Path, records: Sequence[dict[str, str | int]]) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(records)), path)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
