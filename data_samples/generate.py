"""Writes the sample files of this folder: made-up reviews, shapes, flowers, tagged sentences, and numbers in words.

    python data_samples/generate.py [FOLDER]

The same rows come out on every machine. The README says how a sentence and a flower are made.
"""

from __future__ import annotations

import csv
import json
import random
import re
import string
import struct
import sys
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEED = 20240607
ROWS = 600
LABEL_NOISE = 0.05
CONTRAST = 0.05
NEGATION = 0.06
PLAIN = 0.03
OPENED = 0.35
TAILED = 0.5

HUNDREDS, THOUSANDS = 1_000, 2_000  # all numbers below a thousand; so many of the larger ones
LARGEST = 9_999
SENTENCES = 300
SHAPES = 240
SIDE = 24
USUAL_COLOUR = 0.85
FILLS: dict[str, Callable[[float, float], bool]] = {
    "circle": lambda x, y: (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.25,
    "square": lambda x, y: 0 <= x < 1 and 0 <= y < 1,
    "triangle": lambda x, y: 0 <= y < 1 and abs(x - 0.5) < y / 2,
}
"""What is inside, x and y running from 0 to 1 over the shape."""

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

FLOWERS = 400
FLOWER_NOISE = 0.04
EMPTY = 0.06
FLOWER_SHAPES = {  # mean and deviation of height in cm, petal length in mm, number of leaves; on a wall all is smaller
    "bell": ((34, 9), (21, 5), (7, 2)),
    "star": ((27, 8), (26, 6), (10, 3)),
    "crown": ((42, 10), (29, 6), (8, 2)),
}
FLOWER_COLOURS = {"bell": (5, 4, 1, 0), "star": (2, 1, 5, 2), "crown": (1, 4, 3, 2)}
FLOWER_PLACES = {"bell": (5, 3, 2), "star": (2, 2, 6), "crown": (4, 5, 1)}
COLOURS, PLACES = ("white", "blue", "yellow", "red"), ("meadow", "bank", "wall")
ON_A_WALL = 0.7

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


def flowers() -> list[dict[str, str]]:
    """Returns the rows of the table: three kinds of flower about equally often, some cells empty, some labels wrong."""
    draw = random.Random(SEED)
    rows = []
    for number in range(FLOWERS):
        kind = tuple(FLOWER_SHAPES)[number % 3]
        place = draw.choices(PLACES, FLOWER_PLACES[kind])[0]
        size = ON_A_WALL if place == "wall" else 1.0
        height, petal, leaves = (max(1.0, draw.gauss(*shape) * size) for shape in FLOWER_SHAPES[kind])
        cells = {
            "height_cm": f"{height:.1f}",
            "petal_mm": f"{petal:.1f}",
            "leaves": f"{leaves:.0f}",
            "colour": draw.choices(COLOURS, FLOWER_COLOURS[kind])[0],
            "place": place,
        }
        cells = {name: "" if draw.random() < EMPTY else cell for name, cell in cells.items()}
        wrong = draw.random() < FLOWER_NOISE
        rows.append(
            cells | {"label": draw.choice([other for other in FLOWER_SHAPES if other != kind]) if wrong else kind}
        )
    draw.shuffle(rows)
    return rows


def write(folder: Path) -> None:
    """Writes every sample file into `folder`."""
    rows = reviews()
    folder.mkdir(parents=True, exist_ok=True)
    records = [{column: getattr(row, column) for column in COLUMNS} for row in rows]
    _write_table(folder / "reviews.csv", records, ",")
    _write_table(folder / "reviews.tsv", records, "\t")
    _write_table(folder / "flowers.csv", flowers(), ",")
    _write_table(folder / "numbers.csv", numbers(), ",")
    _write_lines(folder / "reviews.jsonl", (json.dumps(record, ensure_ascii=False) for record in records))
    _write_parquet(folder / "reviews.parquet", records)
    _write_lines(folder / "vocab.txt", iter(vocabulary(rows)))
    _write_parquet(folder / "shapes.parquet", [vars(shape) for shape in shapes()])
    tagged = sentences()
    _write_lines(folder / "entities.conll", conll(tagged))
    _write_lines(folder / "entities-vocab.txt", iter(word_vocabulary(tagged)))


FIRST_NAMES = (
    *("Ada", "Bruno", "Carla", "Dmitri", "Elin", "Farid", "Greta", "Hugo", "Irma", "Jonas", "Keiko", "Leo", "Mona"),
    *("Nils", "Olga", "Pavel", "Rosa", "Sven", "Tara", "Viktor"),
)
LAST_NAMES = ("Abend", "Brook", "Castell", "Dorn", "Field", "Hale", "Kowal", "Lindt", "Marsh", "Nord", "Reed", "Stone")
TOWNS = (
    *("Arlen", "Bergholt", "Corvo", "Dunmere", "Eastby", "Fjordal", "Granby", "Holm", "Lake Sora", "Mount Ilva"),
    *("New Arden", "Port Vale", "Saint Orme", "Velden", "Wexley"),
)
TEAMS = ("Red Herons", "City Wolves", "Arlen United", "Wexley Rovers", "Blue Comets", "Granby Athletic", "Tigers")
BOTH_NAMES = ("Marsh", "Dorn", "Holm")
"""Words that are a person's name or a place, as the rest of the sentence has it."""

PATTERNS = (
    "{person} moved from {place} to {place} .",
    "last year {person} bought a house in {place} .",
    "the train to {place} was late again .",
    "{team} beat {team} by two goals in {place} .",
    "{person} scored twice for {team} .",
    "the coach of {team} thanked {person} after the game .",
    "{person} and {person} met at the station of {place} .",
    "it rained all day , and nothing happened .",
    "nobody in {place} has heard of {team} .",
    "{person} says that {person} lives near {place} .",
    "tickets for the game cost more than last year .",
    "a letter from {place} arrived for {person} on monday .",
    "mayor {person} of {place} opened the new school .",
    "fans of {team} travelled to {place} by boat .",
    "we had tea at the house of {person} .",
    "the museum in {place} is closed on monday .",
)
ENTITIES_HELD_BACK = 3
"""Every third word of a name is not in the vocabulary of the sentences, and is cut into letters."""

Tagged = list[tuple[str, str]]


def sentences() -> list[Tagged]:
    """Returns sentences of words with BIO tags of persons, places and teams, no two alike."""
    draw = random.Random(SEED)
    found: dict[str, Tagged] = {}
    while len(found) < SENTENCES:
        tagged: Tagged = []
        for word in draw.choice(PATTERNS).split():
            tagged += _entity(draw, word[1:-1]) if word.startswith("{") else [(word, "O")]
        if draw.random() < OPENED:
            tagged = [*((word, "O") for word in f"{draw.choice(OPENINGS)} ,".split()), *tagged]
        found.setdefault(" ".join(word for word, _ in tagged), tagged)
    return list(found.values())


def _entity(draw: random.Random, kind: str) -> Tagged:
    if kind == "person":
        first, last = draw.choice(FIRST_NAMES), draw.choice(LAST_NAMES)
        name = draw.choice((first, last, f"{first} {last}", f"{first} {last}"))
    else:
        name = draw.choice((*TOWNS, *BOTH_NAMES) if kind == "place" else TEAMS)
    return [(word, f"{'I' if index else 'B'}-{kind}") for index, word in enumerate(name.split())]


def conll(tagged: Sequence[Tagged]) -> Iterator[str]:
    """Yields the lines of a CoNLL file: a word, a tab and its tag, an empty line after each sentence."""
    for sentence in tagged:
        yield from (f"{word}\t{tag}" for word, tag in sentence)
        yield ""


def word_vocabulary(tagged: Sequence[Tagged]) -> list[str]:
    """Returns WordPiece tokens for the sentences, without every third word of a name."""
    common = {word.lower() for sentence in tagged for word, tag in sentence if tag == "O"}
    names = sorted({word.lower() for sentence in tagged for word, tag in sentence if tag != "O"} - common)
    known = [name for index, name in enumerate(names) if index % ENTITIES_HELD_BACK]
    words = sorted(word for word in {*common, *known} if len(word) > 1)
    characters = string.ascii_lowercase + string.digits
    pieces = [f"##{character}" for character in characters]
    return [*SPECIAL_TOKENS, *string.punctuation, *characters, *pieces, *words]


@dataclass(frozen=True)
class Shape:
    """A drawing as a PNG file, what it shows, and whether it is bright on dark or dark on bright."""

    image: bytes
    label: str
    ground: str


ENGLISH = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
ENGLISH_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
GERMAN = (
    *("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf"),
    *("dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn"),
)
GERMAN_TENS = ("", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")


def in_english(number: int) -> str:
    """Returns a number from 0 to 9,999 in British English words: "four thousand and twenty-two"."""
    thousands, rest = divmod(number, 1_000)
    hundreds, last = divmod(rest, 100)
    large = [f"{ENGLISH[thousands]} thousand"] if thousands else []
    large += [f"{ENGLISH[hundreds]} hundred"] if hundreds else []
    tens, ones = divmod(last, 10)
    small = ENGLISH[last] if last < 20 else ENGLISH_TENS[tens] + (f"-{ENGLISH[ones]}" if ones else "")
    if not large:
        return small
    before = ", ".join(large)
    return f"{before} and {small}" if last else before


def in_german(number: int) -> str:
    """Returns a number from 0 to 9,999 in German words: "viertausendzweiundzwanzig"."""
    thousands, rest = divmod(number, 1_000)
    hundreds, last = divmod(rest, 100)
    large = f"{_german_factor(thousands)}tausend" if thousands else ""
    large += f"{_german_factor(hundreds)}hundert" if hundreds else ""
    tens, ones = divmod(last, 10)
    if last >= 20:
        return large + (f"{_german_factor(ones)}und" if ones else "") + GERMAN_TENS[tens]
    return large + (GERMAN[last] if last or not large else "")


def _german_factor(number: int) -> str:
    return "ein" if number == 1 else GERMAN[number]


def numbers() -> list[dict[str, str | int]]:
    """Returns numbers in English and German words, in mixed order: from digits, and from English to German."""
    draw = random.Random(SEED)
    chosen = [*range(HUNDREDS), *sorted(draw.sample(range(HUNDREDS, LARGEST + 1), THOUSANDS))]
    english, german = ({number: words(number) for number in chosen} for words in (in_english, in_german))
    rows: list[dict[str, str | int]] = []
    for number in chosen:
        rows.append({"text": f"en {number}", "target": english[number], "kind": "en", "number": number})
        rows.append({"text": f"de {number}", "target": german[number], "kind": "de", "number": number})
        if number < HUNDREDS:
            of_words = {"text": f"en-de {english[number]}", "target": german[number], "kind": "en-de"}
            rows.append(of_words | {"number": number})
    draw.shuffle(rows)
    return rows


def shapes() -> list[Shape]:
    """Returns drawings of three kinds of shapes, in mixed order."""
    draw = random.Random(SEED)
    labels = [label for label in FILLS for _ in range(SHAPES // len(FILLS))]
    draw.shuffle(labels)
    return [_shape(draw, label) for label in labels]


def _shape(draw: random.Random, label: str) -> Shape:
    ground = draw.choice(("dark", "bright"))
    size, left, top = draw.randint(9, 16), draw.randint(1, 6), draw.randint(1, 6)
    strongest = list(FILLS).index(label) if draw.random() < USUAL_COLOUR else draw.randrange(3)
    colour = [draw.randint(190, 240) if channel == strongest else draw.randint(40, 120) for channel in range(3)]
    back = draw.randint(10, 60) if ground == "dark" else draw.randint(170, 240)
    filled = FILLS[label]
    rows = []
    for y in range(SIDE):
        row = bytearray([0])  # PNG: this line is not filtered
        for x in range(SIDE):
            inside = filled((x - left + 0.5) / size, (y - top + 0.5) / size)
            noise = draw.randint(-9, 9)
            row += bytes(value + noise for value in (colour if inside else [back] * 3))
        rows.append(bytes(row))
    return Shape(_png(b"".join(rows)), label, ground)


def _png(lines: bytes) -> bytes:
    """Returns a PNG file (RFC 2083) of RGB lines, stored without compression: the same bytes with every library."""
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 0)), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _write_table(path: Path, records: Sequence[Mapping[str, str | int]], delimiter: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(records[0]), delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)


def _write_lines(path: Path, lines: Iterator[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _write_parquet(path: Path, records: Sequence[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(records)), path)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
