"""A two-layer BERT of width eight, a vocabulary and labelled sentences, small enough for every test."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
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


def build_bert(folder: Path, seed: int = 3, pooling: str = "mean", dropout: float = 0.1, layers: int = 2) -> Any:
    """Returns the network; the same seed gives the same weights."""
    from progressive_tf.models.bert import bert
    from progressive_tf.models.request import Request
    from progressive_tf.plan.networks import Bert

    write_vocabulary(folder)
    config = CONFIG | {"num_hidden_layers": layers}
    model = Bert(builder="bert", weights=None, vocabulary="vocab.txt", max_length=16, config=config, dropout=dropout)
    return bert.build(Request(model, LABELS, seed, folder, pooling))


def make_examples(
    folder: Path, network: Any, count: int = 60, depth: int = 0, dtype: str = "float16", stored: bool = True
) -> Any:
    """Returns examples of generated sentences for a network, with stored prefix outputs where a depth is given."""
    from progressive_tf.data.inputs import InputStore
    from progressive_tf.training.fitting.examples import Examples
    from progressive_tf.training.prefix.folder import CacheFolder
    from progressive_tf.training.prefix.identity import prefix_sha256
    from progressive_tf.training.prefix.outputs import PrefixOutputs
    from progressive_tf.training.prefix.store import PrefixStore

    texts, labels = sentences(count)
    inputs = InputStore(count, lambda rows: [texts[row] for row in rows], network.preprocess)
    rows = np.arange(count)
    inputs.add(rows)
    if not depth:
        return Examples(inputs, rows, labels)
    store = PrefixStore(CacheFolder(folder / "prefix"), prefix_sha256(network, depth, dtype))
    prefix = PrefixOutputs(network, inputs, depth, dtype, store if stored else None)
    prefix.add(rows, limit=1e9)
    return Examples(inputs, rows, labels, prefix)


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


def write_table(path: Path, count: int, seed: int = 0) -> Path:
    """Writes rows of a number, a colour and a label that shows in both."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=count)
    heights = generator.normal(170 + 8 * labels, 5)
    colours = np.where(generator.random(count) < 0.3 + 0.4 * labels, "red", "blue")
    rows = [
        f"{height:.3f},{colour},{LABELS[label]}" for height, colour, label in zip(heights, colours, labels, strict=True)
    ]
    path.write_text("height,colour,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
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


def of_table(plan: dict[str, Any]) -> dict[str, Any]:
    """Returns a plan with a table and two dense layers in place of texts and a BERT: several times as quick."""
    return plan | {
        "task": "tabular-classification",
        "model": {"builder": "mlp", "units": 6, "layers": 2},
        "data": plan["data"] | {"source": "table.csv"},
    }


def of_textnet(plan: dict[str, Any]) -> dict[str, Any]:
    """Returns a plan with one convolution over tokens in place of a BERT: several times as quick, and reads texts."""
    settings = {"vocabulary": "vocab.txt", "width": 8, "layers": 1}
    return plan | {"model": {"builder": "small_textnet:build", "settings": settings}}


def write_plan(folder: Path, plan: dict[str, Any]) -> Path:
    """Writes a plan with its data, its vocabulary and the code of its network beside it."""
    from progressive_tf.plan.reading import to_yaml

    write_vocabulary(folder)
    if plan.get("model", {}).get("builder") == "small_textnet:build":
        shutil.copy(EXAMPLES / "small_textnet.py", folder)
    for name, write in (("data.csv", write_csv), ("table.csv", write_table)):
        if not (folder / name).exists():
            write(folder / name, 240)
    path = folder / "plan.yaml"
    path.write_text(to_yaml(plan), encoding="utf-8")
    return path
