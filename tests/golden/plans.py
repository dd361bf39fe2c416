"""Tiny plans of every task, with the rows they are trained on and a few raw inputs for what they release.

Plain SGD and kept outputs in float32: Adam divides gradients by their own size, and so makes visible differences of
those that are pure rounding, which differ from processor to processor.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import tiny

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
HEAD = {"method": "head"}
# Where quicker steps are chaotic, so that rounding grows to other answers.
SLOW = {"name": "sgd", "learning_rate": 0.02}
Inputs = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Case:
    """A tiny plan and what is done with it.

    Args:
        plan: as its YAML would be read.
        write: writes what the plan reads into a folder.
        asked: signature → input → raw values that the newest version is asked.
        after: further commands, each with its arguments for `release`.
    """

    plan: Mapping[str, Any]
    write: Callable[[Path], object]
    asked: Mapping[str, Inputs]
    after: tuple[tuple[str, ...], ...] = ()


def passes(metric: str = "accuracy") -> list[dict[str, Any]]:
    """Returns the rules of a gate that a network of any quality passes; what they estimate is recorded."""
    return [
        {"metric": metric, "at_least": 0.0, "min_samples": 5},
        {"metric": metric, "slice": "every-previous", "drop_at_most": 1.0, "confidence": 0.95, "min_samples": 5},
    ]


def never(metric: str = "accuracy") -> list[dict[str, Any]]:
    """Returns the rules of a gate that holds every stage, which saves its export."""
    return [*passes(metric), {"metric": metric, "at_least": 0.5, "min_samples": 500}]


def plan(
    task: str, model: Mapping[str, Any], data: Mapping[str, Any], *stages: Mapping[str, Any], **defaults: Any
) -> dict[str, Any]:
    """Returns a plan; its name is the task's."""
    return {
        "name": task,
        "task": task,
        "seed": 3,
        "model": dict(model),
        "data": {"split": {"validation": 12, "gate": 24, "test": 16}, "quality": {"label_noise": None}, **data},
        "defaults": {
            "epochs": 2,
            "batch_size": 8,
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "schedule": "constant",
            "adaptation": {"method": "full"},
            "cache": {"dtype": "float32"},
            "gate": passes(),
            **defaults,
        },
        "stages": list(stages),
    }


BERT = {
    "builder": "bert",
    "weights": None,
    "vocabulary": "vocab.txt",
    "max_length": 16,
    "config": tiny.CONFIG | {"num_hidden_layers": 1},
}


def write_texts(folder: Path) -> None:
    tiny.write_vocabulary(folder)
    tiny.write_csv(folder / "data.csv", 120)


ASKED_TEXTS = {"serving_default": {"text": ["thinga good thingb", "poor thingc", "", "a word that nobody knows"]}}
STREAM_ROWS = 40


def write_stream(folder: Path) -> None:
    write_texts(folder)
    texts, labels = tiny.sentences(STREAM_ROWS, 9)
    rows = [
        {"id": number, "text": text, "label": tiny.LABELS[label]}
        for number, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    rows += [rows[3], {"text": "what", "label": "neutral"}]  # a duplicate, and a label that is not known
    (folder / "stream.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


TEXTS = Case(
    plan(
        "text-classification",
        BERT,
        {"source": "data.csv"},
        {"name": "one", "data": {"take": 24}, "schedule": {"name": "plateau", "factor": 0.5, "patience": 1}},
        {
            "name": "live",
            "data": {"stream": "stream.jsonl", "micro_batch": 8, "window": 20, "candidate_every": 20},
            "adaptation": {"method": "lora", "rank": 2},
            "retention": {"replay": {"per_class": 4, "ratio": 0.25}},
            "gate": [*passes(), {"metric": "accuracy", "slice": "arrived", "at_least": 0.0, "min_samples": 5}],
        },
    )
    | {"probes": {"take": 4, "steps": 8}},
    write_stream,
    ASKED_TEXTS,
)


def write_sentences(folder: Path, count: int = 90) -> None:
    """Writes sentences in which a name stands after "good" or, as another type, after "bad"."""
    tiny.write_vocabulary(folder)
    generator = np.random.default_rng(0)
    lines: list[str] = []
    for _ in range(count):
        for _ in range(generator.integers(1, 4)):
            lines += [f"{word} O" for word in generator.choice(["fine", "poor", "."], generator.integers(1, 4))]
            leader, kind = [("good", "person"), ("bad", "place")][generator.integers(2)]
            first, *rest = str(generator.choice(["thinga", "thingb", "thingc thingd"])).split()
            lines += [f"{leader} O", f"{first} B-{kind}", *(f"{word} I-{kind}" for word in rest)]
        lines.append("")
    (folder / "words.conll").write_text("\n".join(lines), encoding="utf-8")


ENTITIES = Case(
    plan(
        "token-classification",
        {**BERT, "builder": "bert-tagger", "max_length": 8},  # many sentences become two windows
        {
            "source": "words.conll",
            "quality": {"label_noise": None, "duplicates": None, "leakage": None, "conflicting_labels": None},
        },
        {"name": "one", "data": {"take": 18}},
        {"name": "two", "data": {"take": 30}, "adaptation": HEAD, "gate": never("entity_f1")},
        crf=True,
        gate=passes("entity_f1"),
    ),
    write_sentences,
    asked={
        "serving_default": {"text": ["good thinga and bad thingc thingd.", "fine", ""]},
        "tokens": {"tokens": [["good", "thinga", ".", "bad"], ["bad", "thingc", "thingd", ""]]},
    },
)


def png(label: str, generator: np.random.Generator) -> bytes:
    """Returns a picture's file, not compressed, so that every version of the library writes the same bytes."""
    return pictures.encoded(pictures.picture(label, generator), compress_level=0)


def write_pictures(folder: Path, each: int = 30) -> None:
    generator = np.random.default_rng(0)
    for label in pictures.CLASSES:
        (folder / "shapes" / label).mkdir(parents=True)
        for number in range(each):
            (folder / "shapes" / label / f"{number:03}.png").write_bytes(png(label, generator))
    shutil.copy(EXAMPLES / "small_convnet.py", folder)


IMAGES = Case(
    plan(
        "image-classification",
        {"builder": "small_convnet:build", "settings": {"widths": [4, 8]}},
        {"source": "shapes"},
        {"name": "small", "data": {"take": 21}, "augmentation": {"flip": True, "rotate": 10, "cutout": 0.2}},
        {"name": "large", "data": {"take": 30}, "image_size": 24, "adaptation": HEAD},
        image_size=16,
    ),
    write_pictures,
    {
        "serving_default": {"image": [png(label, np.random.default_rng(5)) for label in pictures.CLASSES]},
        "pixels": {"pixels": [pictures.picture(label, np.random.default_rng(6)) for label in pictures.CLASSES]},
    },
)


def write_table(folder: Path, rows: int = 120) -> None:
    generator = np.random.default_rng(0)
    lines = ["height,weight in kg,colour,shop,region,label"]
    for number in range(rows):
        label = number % 2
        cells = [
            f"{generator.normal(170 + 8 * label, 5):.3f}",
            "" if generator.random() < 0.1 else f"{generator.normal(60 + 5 * label, 9):.3f}",
            "" if generator.random() < 0.1 else "red" if generator.random() < 0.3 + 0.4 * label else "blue",
            f"shop {generator.integers(60)}",
            "north" if generator.random() < 0.5 else "south",
            ("small", "tall")[label],
        ]
        lines.append(",".join(cells))
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


MLP = {"builder": "mlp", "units": 6, "layers": 2}
TABLE_DATA = {
    "source": "table.csv",
    "features": {"numbers": ["height", "weight in kg"], "categories": ["colour"], "hashed": {"shop": 8}},
    "slices": {"north": "region == 'north'"},
}
TABLE_ROWS = [["180.5", "70", "red", "shop 3"], ["160", "", "blue", ""], ["many", "50", "green", "shop 61"]]
ASKED_TABLE = {
    "serving_default": {"features": TABLE_ROWS},
    "columns": dict(zip(["height", "weight_in_kg", "colour", "shop"], zip(*TABLE_ROWS, strict=True), strict=True)),
}
TABLE = Case(
    plan(
        "tabular-classification",
        MLP,
        TABLE_DATA,
        {"name": "one", "data": {"take": 24}},
        {
            "name": "two",
            "data": {"take_new": 24},
            "adaptation": {"method": "lora", "rank": 2, "targets": ["dense"]},
            "readapt": True,
            "retention": {"replay": {"fraction": 0.5}, "average": {"kind": "ensemble", "coefficient": 0.5}},
        },
        {"name": "three", "data": {"all": True}, "adaptation": HEAD, "retention": {"ewc": {"strength": 10}}},
    ),
    write_table,
    ASKED_TABLE,
)


def nothing(folder: Path) -> None:
    """Writes nothing: the digits come with scikit-learn."""


def digits(*stages: Mapping[str, Any], scenario: str, **defaults: Any) -> dict[str, Any]:
    data = {"source": "digits", "split": {"validation": 40, "gate": 60, "test": 40}}
    made = plan("tabular-classification", {"builder": "mlp", "units": 8}, data, *stages, **defaults)
    return made | {"scenario": scenario}


def asked_digits(*task: str) -> dict[str, Inputs]:
    rows = (np.arange(3 * 64).reshape(3, 64) * 7 % 17 / 16).astype(np.float32)
    return {"serving_default": {"features": list(rows)} | ({"task": list(task)} if task else {})}


CLASSES = Case(
    digits(
        {"name": "first", "data": {"classes": ["0", "1"]}, "loss": "focal"},
        {"name": "second", "data": {"classes": ["2", "3"]}, "loss": "label-smoothing"},
        scenario="class-incremental",
        optimizer=SLOW,
        batch_size=32,
        retention={"replay": {"budget": 20}},
    ),
    nothing,
    asked_digits(),
)
TASKS = Case(
    digits(
        {"name": "first", "data": {"classes": ["0", "1"]}},
        {"name": "second", "data": {"classes": ["2", "3"]}},
        scenario="task-incremental",
        optimizer=SLOW,
        batch_size=32,
        retention={"lwf": {"strength": 1.0}},
    ),
    nothing,
    asked_digits("first", "second", "first"),
)

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_pairs(folder: Path, count: int = 60) -> None:
    """Writes numbers of two digits beside their digits as words."""
    numbers = np.random.default_rng(0).permutation(100)[:count]
    rows = [f"{number:02},{' '.join(DIGITS[int(digit)] for digit in f'{number:02}')}" for number in numbers]
    (folder / "pairs.csv").write_text("said,spelt\n" + "\n".join(rows) + "\n", encoding="utf-8")


TRANSLATION = Case(
    plan(
        "translation",
        {
            "builder": "t5",
            "weights": None,
            "max_length": 8,
            "max_target_length": 20,
            "beams": 2,
            "config": tiny.T5_CONFIG | {"num_layers": 1, "num_decoder_layers": 1, "initializer_factor": 3.0},
        },
        {"source": "pairs.csv", "text": "said", "target": "spelt", "split": {"validation": 6, "gate": 10, "test": 6}},
        {"name": "one", "data": {"take": 16}},
        {
            "name": "two",
            "data": {"take": 24},
            "adaptation": {"method": "top-blocks", "blocks": 1},
            "gate": never("exact_match"),
        },
        optimizer=SLOW,
        gate=passes("exact_match"),
    ),
    write_pairs,
    asked={
        "serving_default": {"text": ["12", "7", "no number"]},
        "tokens": {"inputs": [[52, 53, 1], [54, 1, 0]]},
    },
)
CANARY = Case(
    plan(
        "tabular-classification",
        MLP,
        TABLE_DATA,
        {"name": "one", "data": {"take": 24}},
        {
            "name": "two",
            "data": {"take": 48},
            "tune": {
                "trials": 2,
                "oracle": "random",
                "space": {"optimizer.learning_rate": {"choice": [0.01, 0.3]}, "batch_size": {"choice": [4, 16]}},
            },
        },
        release={"steps": [5, 25, 100], "min_samples": 20},
    ),
    write_table,
    ASKED_TABLE,
    after=(
        ("export", "tabular-classification", "2", "--to", "exported", "--storage", "s3://bucket/table"),
        ("pause", "tabular-classification", "--reason", "a look at it"),
        ("widen", "tabular-classification", "--percent", "60"),
        ("widen", "tabular-classification", "--percent", "100"),
        ("rollback", "tabular-classification", "--reason", "too soon"),
        ("shadow", "tabular-classification", "2"),
    ),
)

CASES: Mapping[str, Case] = {
    "texts": TEXTS,
    "entities": ENTITIES,
    "images": IMAGES,
    "table": TABLE,
    "translation": TRANSLATION,
    "class-incremental": CLASSES,
    "task-incremental": TASKS,
    "canary": CANARY,
}
