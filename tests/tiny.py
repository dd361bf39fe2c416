"""A two-layer BERT of width eight, a vocabulary and labelled sentences, small enough for every test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

WORDS = ["good", "fine", "bad", "poor", *(f"thing{chr(97 + index)}" for index in range(12))]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *".,!?[]"]
LABELS = ("negative", "positive")
CONFIG: dict[str, int | float | str | bool] = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}

T5_CONFIG: dict[str, int | float | str | bool] = {
    "d_model": 8,
    "d_kv": 4,
    "d_ff": 16,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
}


def write_vocabulary(folder: Path) -> Path:
    path = folder / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return path


def sentences(count: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Returns distinct texts whose label shows in one of their words, and int32 labels."""
    generator = np.random.default_rng(seed)
    texts: dict[str, int] = {}
    while len(texts) < count:
        label = int(generator.integers(2))
        words = list(generator.choice(WORDS[4:], generator.integers(3, 9)))
        words.insert(int(generator.integers(len(words))), str(generator.choice(WORDS[:2] if label else WORDS[2:4])))
        texts.setdefault(" ".join(words), label)
    return list(texts), np.array(list(texts.values()), np.int32)


def write_csv(path: Path, count: int, seed: int = 0) -> Path:
    texts, labels = sentences(count, seed)
    rows = [f"{text},{LABELS[label]}" for text, label in zip(texts, labels, strict=True)]
    path.write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def raw_plan(**changes: Any) -> dict[str, Any]:
    """Returns a small valid plan as its YAML would be read; `changes` replace top-level keys."""
    plan: dict[str, Any] = {
        "name": "tiny",
        "task": "text-classification",
        "seed": 3,
        "model": {"builder": "bert", "weights": None, "vocabulary": "vocab.txt", "max_length": 16, "config": CONFIG},
        "data": {
            "source": "data.csv",
            "split": {"validation": 20, "gate": 60, "test": 40},
            "quality": {"label_noise": None},
        },
        "defaults": {
            "epochs": 3,
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "adaptation": {"method": "full"},
            "gate": [{"metric": "accuracy", "at_least": 0.1}],
        },
        "stages": [{"name": "one", "data": {"take": 40}}, {"name": "two", "data": {"take": 80}}],
    }
    return plan | changes


def write_plan(folder: Path, plan: dict[str, Any]) -> Path:
    """Writes a plan with its data and vocabulary beside it."""
    from progressive_tf.plan.reading import to_yaml

    write_vocabulary(folder)
    if not (folder / "data.csv").exists():
        write_csv(folder / "data.csv", 240)
    path = folder / "plan.yaml"
    path.write_text(to_yaml(plan), encoding="utf-8")
    return path
