"""A run's rows in the words of each list of labels that its stages have, and the head from one to the next."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from progressive_tf.data.label_lists import LabelLists
from progressive_tf.data.plan_data import PlanData
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.files import sha256_json
from progressive_tf.models.block_model import BlockModel, replace_classes
from progressive_tf.training.answers.features import Features
from progressive_tf.training.fitting.checkpoint import load_arrays, save_arrays
from progressive_tf.training.run.changed_head import changed_head
from progressive_tf.training.run.network import read_rows


@dataclass(frozen=True)
class LabelViews:
    """The lists of labels of a run some of whose stages change them.

    Attributes:
        lists: in order.
        data: the run's rows in the words of each.
        features: of the run's one network and these rows.
    """

    lists: LabelLists
    data: tuple[PlanData, ...]
    features: tuple[Features, ...]


def take_changed_head(network: BlockModel, data: PlanData, begins: int, changed: LabelMap, kept: Path) -> None:
    """Gives a network at weights of the list before the head of the next one, with the classes that come from earlier
    ones.

    What was fitted is kept, so that a run that goes on has the same weights; it is fitted anew where it was for other
    weights, changes or rows, as those of a stage that has not begun may be.

    Args:
        network: changed in place.
        data: the run's rows in the words of the next list.
        begins: the index of its first stage.
        changed: from the labels that the network has.
        kept: the file.
    """
    name, rows = data.stage_sources[begins], np.sort(data.stages[begins].train)
    kernel, bias = network.head.dense.get_weights()
    keys = hashlib.sha256(data.sources[name].keys[rows].tobytes() + data.codes[name][rows].tobytes()).hexdigest()
    head = hashlib.sha256(kernel.tobytes() + bias.tobytes()).hexdigest()
    made_from = sha256_json([head, changed.before, {old: list(news) for old, news in changed.of.items()}, keys])
    arrays, facts = load_arrays(kept) if kept.exists() else ({}, {})
    if facts.get("made_from") != made_from:
        read = partial(read_rows, network, data, name, rows)
        arrays = dict(zip(("kernel", "bias"), changed_head(kernel, bias, changed, read), strict=True))
        save_arrays(kept, arrays, {"made_from": made_from})
    replace_classes(network, changed.after[: changed.known], arrays["kernel"], arrays["bias"])
