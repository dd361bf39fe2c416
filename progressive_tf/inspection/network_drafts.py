"""Which network a plan begins with, by task: from pretrained weights, or a small one that needs no download.

Rates and epochs are those of the shipped plans, which chose them on validation rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

PRETRAINED_TEXT = "minilm-l6"
HIDDEN = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
RANDOM_T5 = {"d_model": 128, "d_kv": 32, "d_ff": 256, "num_heads": 4, "num_layers": 2, "num_decoder_layers": 2}


@dataclass(frozen=True)
class NetworkDraft:
    """A network and how its stages are trained.

    Attributes:
        model: the plan's section.
        why: of the network, sentences.
        defaults: keys of every stage.
        adapts: of the first stages, a sentence.
        last: rows of the last stage → its own keys, and a sentence on them; None where it is like the others.
        quality: keys of `data.quality`.
        metric: of the gate, with the least that is asked for; None where classes say it.
    """

    model: Mapping[str, Any]
    why: tuple[str, ...]
    defaults: Mapping[str, Any]
    adapts: str
    last: Callable[[int], tuple[dict[str, Any], str] | None] = lambda rows: None
    quality: Mapping[str, Any] = field(default_factory=dict)
    metric: tuple[str, float] | None = None


@dataclass(frozen=True)
class Asked:
    """What a network depends on.

    Attributes:
        rows: to train on, in the last stage.
        classes: how many.
        length: tokens that inputs have, as `model.max_length`.
        length_why: a sentence on that.
        target: tokens that expected texts have; 0 where none are expected.
        vocabulary: file of the words of a network without pretrained weights; None where these are wanted.
        offline: whether nothing may be downloaded.
        prefix: what stands in front of every input.
        side: pixels of an image's shorter side, typically; 0 where rows are no images.
        language: what the texts are in, "" for English and where it is not clear.
    """

    rows: int
    classes: int = 0
    length: int = 128
    length_why: str = ""
    target: int = 0
    vocabulary: str | None = None
    offline: bool = False
    prefix: str = ""
    side: int = 0
    language: str = ""


def _minilm(asked: Asked) -> str:
    known = "MiniLM-L6, 92 MB, fetched the first time, for English; without a network: plan new --offline"
    if not asked.language:
        return known
    return f"{known}; these texts read as {asked.language}: a BERT that knows it, named in model.weights, reaches more"


_RANDOM_SAYS_LITTLE = {"label_noise": None}
_SMALL = "a small network from random weights, which learns from these rows alone; pretrained weights reach more"


def _texts(asked: Asked) -> NetworkDraft:
    if asked.offline:
        model = {"builder": "bert", "weights": None, "vocabulary": asked.vocabulary, "max_length": asked.length}
        return NetworkDraft(
            model | {"config": HIDDEN},
            (_SMALL, asked.length_why),
            {
                "epochs": 20,
                "batch_size": 16,
                "optimizer": {"name": "adam", "learning_rate": 1e-3},
                "schedule": {"name": "plateau", "factor": 0.5, "patience": 2},
                "early_stopping": {"monitor": "val_loss", "patience": 4},
                "adaptation": {"method": "full"},
            },
            "full: random weights have all to be learnt",
            quality=_RANDOM_SAYS_LITTLE,
        )
    model = {"builder": "bert", "weights": PRETRAINED_TEXT, "max_length": asked.length}
    return NetworkDraft(
        model,
        (_minilm(asked), asked.length_why),
        {
            "epochs": 80,
            "batch_size": 16,
            "optimizer": {"name": "adamw", "learning_rate": 5e-3, "weight_decay": 0.01},
            "schedule": {"name": "plateau", "factor": 0.5, "patience": 5},
            "early_stopping": {"monitor": "val_accuracy", "patience": 15},
            "adaptation": {"method": "head"},
        },
        "head: a linear layer on kept outputs of the frozen encoder; seconds, and few rows move little",
        _last_of_texts,
    )


def _last_of_texts(rows: int) -> tuple[dict[str, Any], str] | None:
    if rows < 150:
        return None
    blocks = 2 if rows < 400 else 3
    keys = {
        "adaptation": {"method": "top-blocks", "blocks": blocks},
        "optimizer": {"learning_rate": 6e-5},
        "epochs": 6 if rows < 2_000 else 4 if rows < 10_000 else 2,
        "schedule": "constant",
        "early_stopping": {"monitor": "val_accuracy", "patience": 2},
    }
    return keys, f"with {rows:,} rows the last {blocks} of seven blocks move too, a hundred times more slowly"


def _words(asked: Asked) -> NetworkDraft:
    model: dict[str, Any] = {"builder": "bert-tagger", "weights": PRETRAINED_TEXT, "max_length": asked.length}
    why = _minilm(asked)
    optimizer: dict[str, Any] = {"name": "adamw", "learning_rate": 2e-4, "weight_decay": 0.01}
    epochs = 10 if asked.rows < 1_000 else 5
    if asked.offline:
        model |= {"weights": None, "vocabulary": asked.vocabulary, "config": HIDDEN}
        why, epochs, optimizer = _SMALL, 20, {"name": "adam", "learning_rate": 1e-3}
    return NetworkDraft(
        model,
        (why, asked.length_why),
        {
            "crf": True,
            "epochs": epochs,
            "batch_size": 16,
            "optimizer": optimizer,
            "schedule": "warmup-linear",
            "early_stopping": None,
            "adaptation": {"method": "full"},
        },
        "full: tags of words need more than the last block; the CRF learns which tags follow one another",
        quality=_RANDOM_SAYS_LITTLE,
        metric=("entity_f1", 0.1),
    )


def _images(asked: Asked) -> NetworkDraft:
    if asked.offline:
        side = min(64, max(24, asked.side))
        return NetworkDraft(
            {"builder": "resnet50", "weights": None},
            (_SMALL,),
            {
                "image_size": side,
                "epochs": 20,
                "batch_size": 16,
                "optimizer": {"name": "adam", "learning_rate": 1e-3},
                "schedule": "cosine",
                "early_stopping": None,
                "adaptation": {"method": "full"},
            },
            f"full: random weights have all to be learnt, at {side} pixels a side",
            quality=_RANDOM_SAYS_LITTLE,
        )
    return NetworkDraft(
        {"builder": "resnet50", "weights": "imagenet", "dropout": 0.2},
        ("ImageNet weights, 98 MB, which Keras downloads the first time; without a network: plan new --offline",),
        {
            "image_size": 224,
            "epochs": 30,
            "batch_size": 32,
            "optimizer": {"name": "adam", "learning_rate": 1e-3},
            "schedule": {"name": "plateau", "factor": 0.3, "patience": 2},
            "early_stopping": {"monitor": "val_loss", "patience": 5},
            "adaptation": {"method": "head"},
        },
        "head: a linear probe on kept outputs of the frozen network, which see each image once",
        _last_of_images,
    )


def _last_of_images(rows: int) -> tuple[dict[str, Any], str] | None:
    if rows < 150:
        return None
    keys = {"adaptation": {"method": "top-blocks", "blocks": 1}, "optimizer": {"name": "adam", "learning_rate": 1e-4}}
    return keys, f"with {rows:,} images conv5 moves too, with a tenth of the rate"


def _columns(asked: Asked) -> NetworkDraft:
    units, layers = (16, 1) if asked.rows < 500 else (64, 1) if asked.rows < 5_000 else (256, 2)
    return NetworkDraft(
        {"builder": "mlp", "units": units, "layers": layers},
        (f"a perceptron of {units} units, about what {asked.rows:,} rows can determine; it needs no download",),
        {
            "epochs": 60,
            "batch_size": 16 if asked.rows < 2_000 else 64,
            "optimizer": {"name": "adam", "learning_rate": 5e-3 if asked.rows < 5_000 else 1e-3},
            "schedule": "constant",
            "early_stopping": {"monitor": "val_loss", "patience": 6},
            "adaptation": {"method": "full"},
        },
        "full: a perceptron has no pretrained weights to keep",
    )


def _pairs(asked: Asked) -> NetworkDraft:
    lengths = {"max_length": asked.length, "max_target_length": asked.target}
    if asked.offline:
        return NetworkDraft(
            {"builder": "t5", "weights": None, **lengths, "beams": 2, "dropout": 0.0, "config": RANDOM_T5},
            (f"{_SMALL}; it reads and writes bytes", asked.length_why),
            {
                "epochs": 40,
                "batch_size": 32,
                "optimizer": {"name": "adam", "learning_rate": 1e-3},
                "schedule": {"name": "cosine", "final": 0.05, "warmup": 0.05},
                "early_stopping": None,
                "adaptation": {"method": "full"},
            },
            "full: random weights have all to be learnt",
            quality=_RANDOM_SAYS_LITTLE,
            metric=("chrf", 10.0),
        )
    model = {"builder": "t5", "weights": "google-t5/t5-small", **lengths}
    return NetworkDraft(
        model | ({"prefix": asked.prefix} if asked.prefix else {}),
        (
            "T5-small, 242 MB, fetched from the hub the first time: English, German, French and Romanian; without a "
            "network: plan new --offline",
            asked.length_why,
        ),
        {
            "epochs": 10,
            "batch_size": 16,
            "optimizer": {"name": "adamw", "learning_rate": 1e-3},
            "schedule": "warmup-linear",
            "early_stopping": {"monitor": "val_loss", "patience": 2},
            "adaptation": {"method": "lora", "rank": 8},
        },
        "lora: small updates of frozen matrices, for the head of a translator cannot be trained alone",
        quality=_RANDOM_SAYS_LITTLE,
        metric=("chrf", 20.0),
    )


NETWORKS: dict[str, Callable[[Asked], NetworkDraft]] = {
    "text-classification": _texts,
    "token-classification": _words,
    "image-classification": _images,
    "tabular-classification": _columns,
    "translation": _pairs,
}
"""By the name of the task; a task from outside has none, and no plan is drafted for it."""
