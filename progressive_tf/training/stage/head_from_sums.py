"""Heads that follow from sums over rows: counted once in whichever stage brings them, kept, and gone on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.errors import InputError
from progressive_tf.evaluation.temperature import Temperature
from progressive_tf.files import sha256_json
from progressive_tf.models.block_model import BlockModel, named_weights, weights_sha256
from progressive_tf.training.fitting.checkpoint import damaged, load_arrays, save_arrays
from progressive_tf.training.fitting.fit import Fitted
from progressive_tf.training.fitting.linear_heads import (
    ClassSums,
    LinearHead,
    discriminant,
    nearest_mean,
)
from progressive_tf.training.fitting.locations import EXTRA, sums_file
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.rows_so_far import LabelledRows, Reading, rows_of, rows_so_far

HEADS: dict[str, Callable[[ClassSums, Any], LinearHead]] = {
    "slda": lambda sums, settings: discriminant(sums, settings.shrinkage),
    "prototypes": lambda sums, settings: nearest_mean(sums),
}


def fit_from_sums(run: Run, stage: StageRecord, parent: StageRecord | None, moved: MovedWeights) -> Fitted:
    """Counts a stage's rows and gives the head the weights that follow; what was counted is kept in the stage's folder.

    Args:
        run: the run; its network is adapted to the stage.
        stage: the stage.
        parent: the stage it starts from.
        moved: what it moves.

    Raises:
        InputError: rows were learnt before that are in no sums and cannot be counted now.
    """
    settings, network = run.settings(stage), run.network
    reading = Reading(run, moved.frozen_depth, settings.cache)
    before = _before(run, parent, reading)
    sums = before
    for rows in rows_of(run, stage):
        sums = _counted(sums, rows, reading, len(network.labels))
    save_arrays(sums_file(stage.folder), sums.arrays(), {"read": _identity(network)})
    head = HEADS[settings.adaptation.method](sums, settings.adaptation)
    logits, codes = _validated(head, rows_so_far(run, stage, parent), reading)
    temperature = Temperature.fit(logits, codes)
    tempered = head.at(temperature.value)
    network.head.dense.set_weights([tempered.kernel, tempered.bias])
    loss = temperature.log_loss_after if temperature.rows else float("nan")
    accuracy = float((logits.argmax(axis=1) == codes).mean())
    run.display.line(
        f"{stage.name}: {settings.adaptation.method}: {sums.counts.sum() - before.counts.sum():,} rows counted, "
        f"{sums.counts.sum():,} by now; temperature {temperature.value:.3g}, val_loss {loss:.4f}, "
        f"val_accuracy {accuracy:.4f}"
    )
    unknown = {"loss": np.nan, "accuracy": np.nan}  # of training rows, which say little of a head made from them
    return Fitted(1, 1, [{**unknown, "val_loss": loss, "val_accuracy": accuracy}], [], [], [])


def _before(run: Run, parent: StageRecord | None, reading: Reading) -> ClassSums:
    """Returns the sums that a stage goes on with: kept ones of what the head reads now, or else counted again."""
    network = run.network
    kept = None if parent is None else _kept(sums_file(parent.folder), network)
    if kept is not None:
        return kept
    sums = ClassSums.none(network.head.dense.kernel.shape[0])
    if run.start.version is not None:
        version = run.versions.version(run.start.version)
        of_version = _kept(version.folder / EXTRA / sums_file(Path()).name, network)
        if of_version is None:
            raise InputError(
                f"start: version {version.number} has no sums of its classes for what the head reads now, as versions "
                f"have that ended with adaptation slda or prototypes and the same blocks; use method head, or set "
                f"start: pretrained and have all rows in the plan"
            )
        sums = of_version
    for record in run.released_until(parent):
        if record.data().stream is not None:
            raise InputError(
                f"stage {record.name} learnt from a stream, whose rows are not kept and stand in no sums; use method "
                f"head after it, or give its rows as data.source"
            )
        for rows in rows_of(run, record):
            sums = _counted(sums, rows, reading, run.known(record))
    return sums


def _kept(path: Path, network: BlockModel) -> ClassSums | None:
    """Returns the sums in a file; None where there is none, or it is of other features than the head reads now."""
    if not path.exists():
        return None
    arrays, metadata = load_arrays(path)
    try:
        return ClassSums.of_arrays(arrays) if metadata["read"] == _identity(network) else None
    except KeyError as error:
        raise damaged(path, error) from None


def _identity(network: BlockModel) -> str:
    """Returns the hash of all that decides what the head's dense layer reads of a row."""
    dense = {id(variable) for variable in network.head.dense.weights}
    below = [weight for weight in named_weights(network.head) if id(weight.variable) not in dense]
    weights = weights_sha256([*network.weights_of_blocks(len(network.blocks)), *below])
    return sha256_json([weights, network.additions(), network.settings, network.preprocess.settings])


def _counted(sums: ClassSums, rows: LabelledRows, reading: Reading, classes: int) -> ClassSums:
    keys = reading.run.data.sources[rows.source].keys[rows.train]
    new = sums.new(keys)
    features = reading.features(rows.source, rows.train[new])
    return sums.plus(features, rows.codes[new], keys[new], classes)


def _validated(head: LinearHead, parts: list[LabelledRows], reading: Reading) -> tuple[np.ndarray, np.ndarray]:
    """Returns the logits of all validation rows so far, and their classes."""
    logits, codes = [], []
    for rows in parts:
        values = head.logits(reading.features(rows.source, rows.validation))
        logits.append(reading.possible(values, rows.source, rows.validation))
        codes.append(reading.run.data.codes[rows.source][rows.validation])
    return np.concatenate(logits), np.concatenate(codes)
