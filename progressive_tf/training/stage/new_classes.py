"""How the outputs of classes that come with a stage begin: as directions to the means of their rows."""

from __future__ import annotations

import numpy as np

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.evaluation.temperature import LEAST_POSSIBLE, Temperature
from progressive_tf.models.block_model import BlockModel
from progressive_tf.training.fitting.linear_heads import LinearHead
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.rows_so_far import LabelledRows, Reading, rows_of


def start_new_classes(run: Run, stage: StageRecord, parent: StageRecord | None, moved: MovedWeights) -> None:
    """Gives the outputs of new classes their first weights, where the stage asks for it; the others keep theirs.

    With m the mean of a class' features and c the mean of those of all classes of the stage, a column is s (m − c) /
    |m − c| and its bias −c times the column, so that a row in the middle has a logit of 0 (Qi et al. 2018, of features
    that are not normalised). s is the mean length of the columns of earlier classes; where there are none, the one
    whose probabilities suit validation rows best.

    Args:
        run: the run; its network is at the weights that the stage starts from, adapted to it.
        stage: the stage.
        parent: the stage it starts from.
        moved: what it moves.
    """
    settings, network = run.settings(stage), run.network
    let_unseen_learn(network)
    known = 0 if parent is None and run.start.version is None else run.known(parent)
    if settings.head.init != "prototypes" or known == len(network.labels):
        return
    reading = Reading(run, moved.frozen_depth, settings.cache)
    parts = list(rows_of(run, stage))
    features = np.concatenate([reading.features(rows.source, rows.train) for rows in parts])
    codes = np.concatenate([rows.codes for rows in parts])
    classes, head = directions(features, codes)
    new = classes >= known
    head = LinearHead(head.kernel[:, new], head.bias[new])
    kernel, bias = network.head.dense.get_weights()
    lengths = np.linalg.norm(kernel[:, :known], axis=0)
    head = head.at(1 / float(lengths.mean()) if known else _temperature(head, classes[new], parts, reading))
    kernel[:, classes[new]], bias[classes[new]] = head.kernel, head.bias
    network.head.dense.set_weights([kernel, bias])


def let_unseen_learn(network: BlockModel) -> None:
    """Gives classes that a head from sums has not seen a bias that steps can move: the least of the others."""
    if not network.has_linear_head:
        return
    kernel, bias = network.head.dense.get_weights()
    unseen = bias < LEAST_POSSIBLE
    if unseen.any() and not unseen.all():
        bias[unseen] = bias[~unseen].min()
        network.head.dense.set_weights([kernel, bias])


def directions(features: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, LinearHead]:
    """Returns the classes of rows, and a head with a column of length 1 for each, from the middle of all to its mean.

    Args:
        features: float32 [rows, width].
        codes: int [rows].
    """
    classes = np.unique(codes)
    means = np.stack([features[codes == code].mean(axis=0) for code in classes])
    centre = means.mean(axis=0)
    apart = means - centre
    units = (apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-12)).T
    return classes, LinearHead(units.astype(np.float32), -(centre @ units).astype(np.float32))


def _temperature(head: LinearHead, classes: np.ndarray, parts: list[LabelledRows], reading: Reading) -> float:
    """Returns the temperature that suits validation rows of some classes best."""
    logits = np.concatenate([head.logits(reading.features(rows.source, rows.validation)) for rows in parts])
    codes = np.concatenate([reading.run.data.codes[rows.source][rows.validation] for rows in parts])
    chosen = np.isin(codes, classes)
    return Temperature.fit(logits[chosen], np.searchsorted(classes, codes[chosen])).value
