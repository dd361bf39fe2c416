"""Writes docs/plan.md, the reference of every plan key, from the plan's schema.

Run `python docs/make_plan_reference.py`. Keys, types, ranges and defaults come from the pydantic models, and so does
what is said about each section; what each key means stands here. A key without a meaning, or a meaning without a key,
is an error.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from progressive_tf.files import write_text
from progressive_tf.plan.metric_names import ANSWERS, CLASSES, TAGS, MetricName
from progressive_tf.plan.schema import Plan

REFERENCE = Path(__file__).with_name("plan.md")
TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
THE_NAME = "Chooses this section."

MEANINGS: dict[str, dict[str, str]] = {
    "Plan": {
        "name": "Names the folder of the runs and the model in the registry.",
        "task": "What the network is for.",
        "scenario": "What changes from stage to stage: rows, their domain, the classes, or the task.",
        "seed": "Initialisation, shuffling, dropout and bootstrap derive their own seeds from it.",
        "model": "See `model`.",
        "data": "See `data`.",
        "start": "Where the first stage starts: the model's weights, a head from the classes' names or descriptions "
        "(`prompt`), what `stable` points to, or a version's number.",
        "probes": "Inputs that every version is explained on; null: none. See `probes`.",
        "rivals": "Simple classifiers that are fitted beside each stage on what its head reads; null: all, where the "
        "outputs of all blocks are kept; none: `[]`.",
        "costs": "What it costs to answer a true class with another, {true class: {answer: cost}}; 1 where nothing is "
        "said. The answer with the least expected cost is given; null: the most probable one.",
        "unknown_inputs": "Which inputs are like nothing learnt so far; null: not asked. See `unknown_inputs`.",
        "on_hold": "After a stage that was not released: stop, or go on from the last released stage.",
        "stages": "The steps, in order, at least one; see `stages[]`.",
    },
    "Probes": {
        "take": "Gate rows of the first stage, drawn once by the plan's seed.",
        "steps": "Points on the line from baseline to input; up to 512 where explanations are not complete by 5 %.",
    },
    "UnknownInputs": {
        "score": "What is read of an input; the higher, the less it is like training rows.",
        "flagged": "Share of the validation rows so far that may count as unknown: it gives the threshold.",
        "source": "Rows that no class fits, an asset or a file as `data.source`; labels in it are not read.",
    },
    "PromptStart": {
        "prompt": "Class → what is said about it, a text or a list of texts that are averaged.",
    },
    "Bert": {
        "builder": "",
        "weights": "An asset's name, a folder, a hub id (`owner/name`), or null for random weights.",
        "max_length": "Longest text in tokens, [CLS] and [SEP] included; what is longer is cut.",
        "dropout": "Share of pooled features that the head drops in training.",
        "config": "Fields of transformers' BertConfig; with `weights: null` only.",
        "vocabulary": "A vocabulary asset or file; with `weights: null` only.",
    },
    "BertTagger": {
        "builder": "",
        "weights": "An asset's name, a folder, a hub id (`owner/name`), or null for random weights.",
        "max_length": "Longest window in tokens, [CLS] and [SEP] included; longer sentences become several.",
        "dropout": "Share of features that the head drops in training.",
        "config": "Fields of transformers' BertConfig; with `weights: null` only.",
        "vocabulary": "A vocabulary asset or file; with `weights: null` only.",
    },
    "T5": {
        "builder": "",
        "weights": "A folder, a hub id (`owner/name`), or null for random weights.",
        "max_length": "Longest text in tokens, its end included; what is longer is cut.",
        "max_target_length": "Longest text that is learnt or written, its end included; longer ones are refused.",
        "beams": "Texts that the search follows at once; 1 takes the likeliest token at each step.",
        "length_penalty": "0 favours short texts, 1 compares mean log probabilities of tokens.",
        "prefix": "Stands in front of every text, such as `translate English to German: `.",
        "dropout": "Share of values dropped in training, in every block.",
        "config": "Fields of transformers' T5Config; with `weights: null` only.",
        "vocabulary": "A SentencePiece model; with `weights: null` only, and null then means bytes.",
    },
    "Mlp": {
        "builder": "",
        "weights": "Random, always.",
        "units": "Numbers that each layer gives.",
        "layers": "How many dense layers come before the head.",
        "dropout": "Share of each layer's numbers dropped in training.",
    },
    "ResNet50": {
        "builder": "",
        "weights": "`imagenet`, a local .h5 or .keras file or checkpoint prefix, or null for random weights.",
        "blocks": "Where the network is cut: `groups` has stem, conv2 … conv5; `residual` has 17 blocks.",
        "batch_norm_momentum": "How much of the running mean and variance stays at each step.",
        "dense": "Units of a ReLU layer between the pooled features and the classes; null for none.",
        "dropout": "Share of pooled features that the head drops in training.",
    },
    "OwnBuilder": {
        "builder": "",
        "weights": "Whatever the function reads as weights.",
        "settings": "Whatever the function reads.",
    },
    "Data": {
        "source": "An asset's name, a .csv, .tsv, .jsonl, .json, .parquet, .conll or .txt file, or a folder.",
        "folders": "What the folders of a folder of images are; null finds out, and refuses what may be either.",
        "text": "The column of the text.",
        "image": "The column of images' paths, which start from the table's folder.",
        "label": "The column of the label.",
        "tokens": "Of tagged sentences: the list of words in JSON, or the number of the column in CoNLL files, from 1.",
        "tags": "The same for their tags, BIO or BIOES; CoNLL files have the word first and the tag last otherwise.",
        "target": "In task translation: the column of the text that is expected.",
        "features": "See `data.features`; null: all of a table but `label`, `task`, `split.group`, the column of "
        "`gate_refresh` and pandas' index.",
        "leave_out": "Columns of a table that are not read, where `features` is null.",
        "decimal": "What stands before a fraction in a table's texts; null: what the cells of each column tell.",
        "labels": "Two classes or more, in the order of the served probabilities; null takes those found, sorted.",
        "normalize_labels": "Labels that are one class however they are written: `strip` (spaces aside), `casefold` "
        "(spaces, case, dashes, 1 and 1.0 aside), or {as written: class}; null: each spelling is a class.",
        "labels_file": "A CSV of what labels were called before, `old,new`, with `from`, a day, for the record; rows "
        "and a version that the run starts from are read through it ([guide](guides/a-month-later.md)).",
        "task": "The column that says each row's task, in scenario task-incremental; null: each stage is a task.",
        "split": "See `data.split`.",
        "gate_refresh": "See `data.gate_refresh`; null: gate rows are of all values.",
        "quality": "See `data.quality`.",
        "slices": "Further gate slices of `source`: name → pandas query over its columns.",
        "validation_sets": "Further gate slices from other sources, all rows of each: name → source.",
        "earlier": "Files of the runs before, where the run starts from a version: name → source. What the version has "
        "not seen is a slice of that name, which `every-previous` covers; what it was trained on `retention.replay` "
        "replays.",
    },
    "TableColumns": {
        "numbers": "Columns of numbers; empty cells are missing values.",
        "categories": "Columns of a limited number of different values.",
        "hashed": "Columns of very many values, with the number of buckets of each.",
    },
    "Split": {
        "validation": "A count is taken from the source once; a share is cut from each stage's own rows.",
        "gate": "Rows that only decisions and the R matrix read.",
        "test": "Rows that are only reported. A published test part is used instead where there is one.",
        "stratify": "Whether every part has the source's class proportions.",
        "min_per_class": (
            "So many gate rows each class gets, at most half of its own; rules on classes with fewer than 5 hold."
        ),
        "column": (
            "A column that says each row's part: train, validation, gate or test; a part that no row belongs to is "
            "taken from those for training, in its size."
        ),
        "group": "A column whose equal values always stay in the same part; the gate then draws groups, not rows.",
        "seed": "Which rows go where; independent of the plan's `seed`.",
    },
    "GateRefresh": {
        "column": "Such as a month: numbers, or texts whose order is that of time, as 2026-11.",
        "newest": "So many of its values, the last ones, have gate rows.",
    },
    "Quality": {
        "similar_labels": "Labels that a person reads as one: spaces, case, dashes, 1 and 1.0.",
        "odd_labels": "Labels that look like numbers to predict, several labels in one, an id, or a missing value.",
        "empty_text": "Texts of nothing but spaces and control characters, and missing ones; dropped before the split.",
        "broken_tags": "Tags that are not valid BIO or BIOES; those that stay are read as `conlleval` reads them.",
        "duplicates": "Rows whose text and label repeat an earlier row's; case, spaces and punctuation do not count.",
        "conflicting_labels": "Rows whose text also stands there with another label.",
        "label_noise": "Labels that a linear model over frozen embeddings finds unlikely (cleanlab).",
        "leakage": "Training texts that also stand in an evaluation part of any source.",
        "odd_cells": "Rows with a cell that is no number in a table's column of numbers; it counts as missing.",
        "alike_gate_rows": (
            "Without `split.group`: gate rows that share a column's values, as one author's do, or nearly all words."
        ),
        "cut_texts": "Texts of more tokens than `model.max_length`, whose ends are not read.",
        "class_imbalance": "Classes with less than a tenth of the largest class' rows.",
        "too_few_per_class": "Classes with fewer than 8 rows.",
        "unreadable_images": "Files that are no image, or are damaged, too large, or in no class' folder.",
        "odd_images": "Images with another suffix than their content, an EXIF rotation, transparency, or a tiny side.",
    },
    "StageData": {
        "take": "The first so many rows for training; a later stage's contain an earlier one's.",
        "take_new": "So many rows that no earlier stage took.",
        "all": "Every row for training.",
        "source": "Another source than `data.source`.",
        "where": "Only rows that meet this pandas query over the source's columns; it also cuts the stage's slice.",
        "classes": "Only rows of these classes; they also cut the stage's slice.",
        "split": "Sizes of the evaluation parts of the stage's own source; null: as in `data.split`.",
        "wrong_labels": "Share of the training rows that get a wrong label; null: none.",
        "stream": "JSON lines to learn as they come: a file, or `-` for standard input; see the guide on streams.",
        "micro_batch": "Rows of a stream that are answered and then learnt together.",
        "window": "The last so many rows of a stream, of which running accuracies are those.",
        "candidate_every": "The gate judges a stream's learner every so many rows; null: at its end alone.",
    },
    "Stage": {
        "name": "Unique; not a number. Overrides and folders use it.",
        "data": "See `stages[].data`.",
        "epochs": "The most passes over the stage's rows.",
        "batch_size": "Examples in a batch, or `{tokens: N}`.",
        "optimizer": "See `stages[].optimizer`.",
        "schedule": "See `stages[].schedule`; a name alone takes that schedule's defaults.",
        "early_stopping": "See `stages[].early_stopping`; null turns it off.",
        "adaptation": "See `stages[].adaptation`.",
        "head": "How new outputs begin; see `head`.",
        "retention": "What keeps earlier stages' skills; see `stages[].retention`.",
        "gate": "The rules of the release, at least one; see `stages[].gate[]`.",
        "loss": "See `stages[].loss`; a name alone takes that loss' defaults.",
        "pooling": "What the head reads: the mean over tokens, or BERT's pooler over [CLS]; the same in every stage.",
        "continual_evaluation": "Measure earlier stages on their validation rows every so many steps; null: never.",
        "cache": "See `stages[].cache`.",
        "block_decay": "Each block's rate is that of the block above divided by this (2.6 in ULMFiT); null: one rate.",
        "objective": "See `stages[].objective`; null: classification alone.",
        "precision": "What blocks compute in while they train; all else is float32. The same in every stage.",
        "image_size": "Height and width that images are brought to, in pixels; stages may differ.",
        "augmentation": "Random changes to training images; null for none. Outputs of frozen blocks are not stored.",
        "readapt": "Measure means and variances of a table's numbers again, on this stage's training rows.",
        "calibrate": "Divide the logits, when a stage ends, by the temperature that fits its validation rows.",
        "abstain": "See `stages[].abstain`; null: every row is answered.",
        "labels": "What became of the labels of the version that the run starts from, or of the stage before. See "
        "`stages[].labels`; null: they are the same.",
        "crf": "Tags of a sentence are scored together (Lafferty et al. 2001); the same in every stage.",
        "tune": "Sweeps the stage before it trains; see `tune`.",
        "release": "See `stages[].release`; null: a promoted stage becomes stable.",
        "distribute": "mirrored: each batch is divided over all GPUs of the machine; the same in every stage.",
    },
    "LabelChanges": {
        "rename": "Old label → new one.",
        "merge": "New label → the old ones that it has instead; it may be called as one of them.",
        "split": "Old label → the new ones that its rows have instead.",
        "retire": "Old labels that no row may have now, and that are no longer answered.",
        "add": "Labels that the version does not know; some row has to have each.",
    },
    "Abstain": {
        "error_at_most": "The largest share of wrong answers among those that are given.",
        "confidence": "That it is no larger, over the rows that the threshold is chosen on.",
    },
    "Retention": {
        "replay": "See `stages[].retention.replay`.",
        "ewc": "See `stages[].retention.ewc`.",
        "lwf": "See `stages[].retention.lwf`.",
        "distill": "See `stages[].retention.distill`.",
        "average": "See `stages[].retention.average`.",
    },
    "Replay": {
        "budget": "Rows kept in all.",
        "per_class": "Rows kept of each class.",
        "fraction": "Share of the earlier stages' rows that is kept; 0 keeps none.",
        "policy": "A uniform sample, or equally many of each class.",
        "ratio": "The kept rows' share of each batch.",
    },
    "Ewc": {
        "strength": "λ of the paper.",
        "fisher": "Which gradients are squared.",
        "samples": "Rows of each earlier stage that it is measured on.",
        "online": "One term around the newest weights, instead of one for each earlier stage.",
        "decay": "γ of Schwarz et al.; with `online: true`.",
    },
    "Lwf": {"strength": "Its weight in the loss.", "temperature": "Softens both outputs."},
    "Distill": {
        "teacher": "Whose outputs are followed.",
        "strength": "Its weight in the loss.",
        "temperature": "Softens both outputs.",
    },
    "EmaAverage": {"kind": "", "decay": "What one step keeps of the average."},
    "SwaAverage": {
        "kind": "",
        "start": "The first step whose weights count.",
        "every": "How many steps apart they are.",
    },
    "WiseFtAverage": {
        "kind": "",
        "coefficient": "The stage's own share; null: chosen on validation rows.",
        "drop_at_most": "The most accuracy that a chosen share may lose on an earlier stage's validation rows.",
    },
    "SoupAverage": {
        "kind": "",
        "coefficient": "The stage's own share; null: chosen on validation rows.",
        "drop_at_most": "The most accuracy that a chosen share may lose on an earlier stage's validation rows.",
        "stages": "Earlier stages; null: all that the stage builds on.",
    },
    "EnsembleAverage": {
        "kind": "",
        "coefficient": "The stage's own share; null: chosen on validation rows.",
        "drop_at_most": "The most accuracy that a chosen share may lose on an earlier stage's validation rows.",
        "stages": "Earlier stages; null: all that the stage builds on.",
    },
    "ReleaseSchedule": {
        "steps": "Percentages of the callers: first by the gate, then by the server or `release widen`; 100 is stable.",
        "min_samples": "Answers of the canary at a step before the next, of one caller at most a tenth of them.",
        "max_minutes": "After so long at a step with fewer answers, the canary waits for a person; null: no limit.",
        "min_judged": "Answers of the canary at a step that users have judged, before the next; likewise.",
        "min_minutes": "At a step before the next, whatever came; max_minutes where that is shorter.",
        "automatic": "Whether the server takes the steps by itself, and the canary back; false: `release widen` does.",
        "alpha": "Probability that an equal canary is ever taken back, or one worse by max_accuracy_drop proved.",
        "max_error_rate": "A canary that surely fails on a larger share of its requests is taken back.",
        "max_slowdown": "A request is slow if the network takes so many times stable's 95th percentile before it.",
        "max_disagreement": "Of the canary's answers, where stable says something else; null: stable is not asked.",
        "max_drift": "How much more or less often the canary may say a label than stable; null: no limit.",
        "max_accuracy_drop": "How much less often than stable it may be right and still count as good enough.",
        "proof": "required: more callers once it is shown to be good enough; harm-only: unless it is surely worse.",
        "shadow_first": "It begins as the shadow, and answers nobody before it is shown to be good enough.",
    },
    "Tune": {
        "space": "Key of the stage → its values. Without it, rate, batch size and adaptation around the plan's.",
        "trials": "At most so many.",
        "oracle": "What proposes values, of Keras Tuner; hyperband gives most trials few epochs.",
        "seeds": "A trial is the mean of so many trainings.",
        "metric": "What is best, any that a gate knows; null for the metric of the R matrix.",
        "drop_at_most": "How much of it a trial may lose on validation rows of each earlier stage; 0.02: two points.",
        "warm_start": "Begin with the plan's own values, and the best of the sweep of the stage before.",
        "seed": "The oracle's; null derives it from the plan's.",
    },
    "Parameter": {
        "float": "Lowest and highest number.",
        "int": "Lowest and highest whole number.",
        "choice": "A list of values: numbers, words, or whole sections.",
        "log": "Search a range on a logarithmic scale.",
        "step": "How far apart the values of a range are; null for any.",
        "when": "Another key that is a choice → the value or values of it for which this key is searched.",
    },
    "Optimizer": {
        "name": "lamb and lazyadam come from TensorFlow Addons.",
        "learning_rate": "The base rate, which the schedule starts from.",
        "weight_decay": "null: 0.01 for adamw, 0 for the others.",
        "momentum": "For sgd only; null: 0.9.",
        "clip_norm": "Gradients longer than this, all together, are scaled down to it; null: never.",
        "carry_state": "Start from the optimizer state that the stage before ended with.",
    },
    "ConstantSchedule": {"name": THE_NAME},
    "WarmupLinearSchedule": {"name": THE_NAME, "warmup": "Share of all steps."},
    "CosineSchedule": {"name": THE_NAME, "warmup": "Share of all steps.", "final": "Last rate, in base rates."},
    "OneCycleSchedule": {
        "name": THE_NAME,
        "peak": "Share of all steps until the highest rate.",
        "start_divisor": "First rate: the base rate divided by this.",
        "end_divisor": "Last rate: the base rate divided by this.",
    },
    "PlateauSchedule": {
        "name": THE_NAME,
        "factor": "What the rate is multiplied by.",
        "patience": "Epochs without a better `val_loss` before that.",
        "minimum": "The lowest rate.",
    },
    "AdaptiveSchedule": {
        "name": THE_NAME,
        "factor": "What the rate is multiplied by on a plateau.",
        "patience": "Epochs without a better `val_loss` before that.",
        "minimum": "The lowest rate on a plateau.",
    },
    "HeadStart": {"init": "Of classes that no stage before has had."},
    "EarlyStopping": {
        "monitor": "Measured on the stage's validation rows.",
        "patience": "Epochs without a better value before training stops.",
        "min_delta": "How much better counts as better.",
    },
    "HeadAdaptation": {"method": THE_NAME},
    "FullAdaptation": {"method": THE_NAME},
    "TopBlocksAdaptation": {
        "method": "",
        "blocks": "How many of the last blocks move; the embeddings are a block too.",
    },
    "GradualAdaptation": {
        "method": "",
        "blocks_per_phase": "Blocks that each phase adds, from the top.",
        "epochs_per_phase": "The most epochs of each phase but the last.",
    },
    "LoraAdaptation": {
        "method": "",
        "rank": "Columns of A, rows of B.",
        "alpha": "The update is scaled by alpha / rank.",
        "dropout": "Share of the update's inputs dropped in training.",
        "targets": "Any of the network's roles; BERT's: query, key, value, output, ffn (both feed-forward matrices).",
        "from_block": "The first block with updates.",
        "merge": "Whether the update becomes part of the matrices when the stage ends.",
    },
    "AdapterAdaptation": {
        "method": "",
        "size": "Width of the bottleneck.",
        "from_block": "The first block with adapters.",
    },
    "BitfitAdaptation": {"method": THE_NAME},
    "SldaAdaptation": {
        "method": "",
        "shrinkage": "Share of equal variances in the covariance.",
    },
    "PrototypesAdaptation": {"method": ""},
    "PromptAdaptation": {
        "method": "",
        "length": "Vectors in front of the text, fewer than `model.max_length`; the text keeps all of that.",
    },
    "Augmentation": {
        "flip": "Half of the images are mirrored, left to right.",
        "crop": "Up to this share of both sides is cut away and the rest stretched.",
        "zoom": "Up to this share more or less is shown.",
        "shear": "Slanted by up to this share of the height, either way.",
        "rotate": "Turned by up to so many degrees, either way.",
        "colour": "Brightness, contrast and saturation change by up to this share.",
        "cutout": "Side of a grey square, as a share of the image's.",
    },
    "Contrastive": {
        "name": THE_NAME,
        "pairs_per_example": "Pairs that each example is part of per epoch; a batch of b gives each of its b - 1.",
        "temperature": "Supervised contrastive loss (Khosla et al. 2020); the default is 0.1 without a `margin`.",
        "margin": "Instead: squared distances up to this margin (Hadsell et al. 2006).",
        "epochs": "Passes over the pairs.",
        "learning_rate": "The rate of this part; `optimizer.learning_rate` is the head's.",
    },
    "CrossEntropy": {"name": THE_NAME},
    "Focal": {"name": THE_NAME, "gamma": "0 is cross-entropy."},
    "LabelSmoothing": {"name": THE_NAME, "amount": "Share of the uniform distribution."},
    "TokenBudget": {"tokens": "Padded tokens in a batch, at most."},
    "GateRule": {
        "metric": "One of the metrics below.",
        "slice": "`current`, `every-previous`, `all`, or a name from `data.slices`, `data.validation_sets` or "
        "`data.earlier`.",
        "at_least": "The metric must not be below this.",
        "at_most": "The metric must not be above this.",
        "drop_at_most": "How much worse it may be than the run's last released stage, or else its start version.",
        "against": "With `drop_at_most`: `best` also compares with the best version so far, in this run and those "
        "before it; `first` compares with the first of them alone; null is `released`.",
        "at_least_rival": "True: no worse than any of the plan's `rivals` on these rows; or how much worse it may be.",
        "confidence": "One-sided. With it the bound decides, without it the estimate. What it leaves to chance is "
        "shared out over the candidates that are judged on the same rows.",
        "min_samples": "When the metric rests on fewer rows than this, the rule holds.",
    },
    "AgainstVersion": {"version": "Its number; it has to be in the registry."},
    "Cache": {
        "dtype": "float16 takes half the space.",
        "storage": "`cache: off` is short for `cache: {storage: off}`.",
        "max_gb": "Of `cache/prefix`, over all runs.",
    },
}

INTRODUCTION = """\
# The plan: every key

<!-- Written by docs/make_plan_reference.py from the schema; change those and run it again. -->

A plan is one YAML file. It is checked as a whole before anything runs; every problem is listed with its path, such as
`stages[1].data.take`. Unknown keys are refused, and so is what this release does not have yet.

- **`defaults`** takes every key of `stages[]` but `name`; each stage inherits it. Mappings merge key by key, lists
  replace. Where `name`, `method` or `kind` of a mapping changes, nothing else of the inherited mapping is kept.
- **Paths** start from the plan's folder; in a shipped plan, from the current folder.
- **`null`** removes a key, so that its default holds; where the table lists null as a value, it is that value.
- **Scalars** are read by YAML 1.2: `1e-3` is a number; `on`, `off`, `yes` and `no` are words.
- **Types are strict**: `"3"` is not a number and `3.0` is not a whole number.
- **On the command line**, `--set stages.beta.epochs=3` changes one key and `--override FILE` several. A stage is
  addressed by its name, by its number from 1, or as `stages[0]`; the defaults as `defaults.epochs`.

A count of rows is a whole number from 1; a share is a number above 0 and below 1. "A name" is 1 to 64 letters, digits,
`.`, `_` and `-`, the first a letter or digit.
"""


@dataclass(frozen=True)
class Section:
    """One model of the schema at the path where a plan has it."""

    path: str
    model: str


def reference() -> str:
    """Returns the text of docs/plan.md.

    Raises:
        ValueError: a key has no meaning here, or a meaning has no key.
    """
    schema = Plan.model_json_schema()
    models = {"Plan": schema, **schema["$defs"]}
    check_meanings(models)
    sections = list(find_sections(models, Section("", "Plan")))
    parts = [INTRODUCTION, *(_section(models, section) for section in sections), _metrics()]
    return "\n".join(parts)


def check_meanings(models: Mapping[str, Any]) -> None:
    """Raises ValueError unless every key of every model has a meaning and every meaning a key."""
    keys = {f"{model}.{key}" for model, schema in models.items() for key in schema["properties"]}
    meanings = {f"{model}.{key}" for model, of_model in MEANINGS.items() for key in of_model}
    if keys != meanings:
        raise ValueError(f"MEANINGS: missing {sorted(keys - meanings)}, superfluous {sorted(meanings - keys)}")


def find_sections(models: Mapping[str, Any], section: Section) -> Iterator[Section]:
    """Yields a section and those below it, in the order of the schema."""
    yield section
    for key, field in models[section.model]["properties"].items():
        below = f"{section.path}.{key}".lstrip(".")
        for inner, suffix in _references(field):
            yield from find_sections(models, Section(below + suffix, inner))


def _references(field: Any, suffix: str = "") -> Iterator[tuple[str, str]]:
    """Yields each section below a key, with what its path has after the key."""
    if "$ref" in field:
        yield field["$ref"].rpartition("/")[2], suffix
    for option in [*field.get("anyOf", []), *field.get("oneOf", [])]:
        yield from _references(option, suffix)
    if isinstance(field.get("items"), dict):
        yield from _references(field["items"], "[]")
    if isinstance(field.get("additionalProperties"), dict):
        yield from _references(field["additionalProperties"], ".<key>")


def _section(models: Mapping[str, Any], section: Section) -> str:
    schema = models[section.model]
    tag = next((field["const"] for field in schema["properties"].values() if isinstance(field.get("const"), str)), "")
    title = "Top level" if not section.path else f"`{section.path}`" + (f": {tag}" if tag else "")
    required = set(schema.get("required", ()))
    rows = [
        f"| `{key}` | {_type(field)} | {_default(field, key in required)} | {MEANINGS[section.model][key]} |"
        for key, field in schema["properties"].items()
    ]
    table = ["| key | type and range | default | meaning |", "|---|---|---|---|", *rows]
    return "\n".join([f"## {title}", "", _paragraphs(schema["description"]), "", *table, ""])


def _paragraphs(docstring: str) -> str:
    return re.sub(r"\n(?!\n)(?<!\n\n)", " ", docstring)


def _type(field: Mapping[str, Any]) -> str:
    if "const" in field:
        return f"`{_yaml(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "$ref" in field or "oneOf" in field:
        return "mapping"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(option) for option in field["anyOf"]))
    if field["type"] == "array":
        if "prefixItems" in field:
            return f"list of {len(field['prefixItems'])} {_plural(field['prefixItems'][0])}"
        least = field.get("minItems")
        return f"list of {_plural(field['items'])}" + (f", {least} or more" if least else "")
    if field["type"] == "object":
        return "mapping"
    if field.get("pattern") == NAME_PATTERN:
        return "a name"
    return TYPES[field["type"]] + _range(field)


def _plural(items: Mapping[str, Any]) -> str:
    if "$ref" in items:
        return "mappings"
    return f"{TYPES[items['type']]}s" if "type" in items else "values"


def _range(field: Mapping[str, Any]) -> str:
    signs = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    bounds = [f"{sign} {field[key]:,}" for key, sign in signs if key in field]
    return f" {', '.join(bounds)}" if bounds else ""


def _default(field: Mapping[str, Any], required: bool) -> str:
    if required:
        return "required"
    if "default" not in field:
        return "empty"
    default = field["default"]
    if isinstance(default, dict):
        named = default.get("name") or default.get("method")
        return f"{named}, see there" if named else "see there"
    return f"`{_yaml(default)}`" if default != "" else "empty"


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _metrics() -> str:
    rows = [
        f"| `{metric.name}` | {'more' if metric.maximize else 'less'} | {_metric_range(metric)} |"
        for kind in ANSWERS.values()
        for metric in kind.metrics.values()
    ]
    per_class = ", ".join(f"`{kind}/<label>`" for kind in CLASSES.per_label)
    per_type = ", ".join(f"`{kind}/<type>`" for kind in TAGS.per_label)
    lines = [
        "## Metrics",
        "",
        f"What a rule's `metric` may be. {per_class} are those of one class: more is better, 0 to 1. Task",
        f"token-classification has those that begin with entity or token, and {per_type}, and no others. An entity",
        "counts if its first word, last word and type are right. `token_accuracy` is that of all words, most of which",
        "are O; `token_f1_without_o` leaves out what is O and was meant to be. Task translation has `exact_match`,",
        "`bleu` and `chrf` (sacrebleu's, of the whole slice), and no others.",
        "",
        "| metric | better is | range |",
        "|---|---|---|",
        *rows,
        "",
    ]
    return "\n".join(lines)


def _metric_range(metric: MetricName) -> str:
    if math.isinf(metric.lowest):
        return f"{metric.highest:g} and below"
    return f"{metric.lowest:g} to {metric.highest:g}" if math.isfinite(metric.highest) else f"{metric.lowest:g} and up"


def main() -> None:
    """Writes docs/plan.md."""
    write_text(REFERENCE, reference())
    sys.stdout.write(f"{REFERENCE}\n")


if __name__ == "__main__":
    main()
