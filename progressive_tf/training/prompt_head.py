"""A first head from descriptions of the classes: what an encoder knows before the first example."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.classification_head import ClassificationHead
from progressive_tf.plan.methods import descriptions_of
from progressive_tf.plan.schema import Plan
from progressive_tf.training.plan_data import PlanData

# Sentence encoders are trained with their cosine similarity times this (Reimers and Gurevych 2019,
# MultipleNegativesRankingLoss of sentence-transformers).
SCALE = 20.0
MOST_TEXTS, BATCH = 256, 32


def start_from_prompt(network: BlockModel, plan: Plan, data: PlanData) -> None:
    """Puts the head of a network where descriptions of the classes say, if the plan starts so.

    Training texts of the first stage's source, without their labels, say where the encoder's outputs lie on average.

    Args:
        network: changed in place.
        plan: says which descriptions.
        data: its texts and classes.

    Raises:
        InputError: descriptions that are not those of the classes, or a network that has no such head.
    """
    try:
        descriptions = descriptions_of(plan.start, data.labels)
    except ValueError as error:
        raise InputError(str(error)) from None
    if descriptions is None:
        return
    if not isinstance(network.head, ClassificationHead):
        raise InputError(f"start: prompt needs the head of builder bert; {plan.model.builder} has another")
    name = data.stage_sources[0]
    texts = data.sources[name].texts(data.parts[name].pool[:MOST_TEXTS])
    of_classes = [embeddings(network, each).mean(axis=0) for each in descriptions.values()]
    kernel, bias = prompt_head(np.stack(of_classes), embeddings(network, texts))
    network.head.dense.kernel.assign(kernel)
    network.head.dense.bias.assign(bias)


def prompt_head(classes: np.ndarray, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns kernel and bias of a linear head whose logits are cosine similarities times 20.

    Both sides are centred, since the outputs of an encoder lie in a narrow cone (Ethayarajh 2019): a text's embedding h
    on the texts' mean, a class's on the classes'. With unit vectors cᵢ of the classes and r, the mean length of centred
    texts, which stands for each one's own so that the head stays linear,

        logitᵢ = 20 · cᵢ · (h − mean h) / r.

    Args:
        classes: embeddings, float32 [classes, width].
        texts: embeddings, float32 [texts, width].

    Returns:
        float32 [width, classes] and [classes].
    """
    centre = texts.mean(axis=0)
    length = np.linalg.norm(texts - centre, axis=1).mean()
    apart = classes - classes.mean(axis=0)
    units = apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-12)
    kernel = (SCALE / max(float(length), 1e-12)) * units.T
    return kernel.astype(np.float32), -(centre @ kernel).astype(np.float32)


def embeddings(network: BlockModel, texts: Sequence[str]) -> np.ndarray:
    """Returns what the dense layer of the head reads of each text, float32 [texts, width]."""
    parts = []
    for begin in range(0, len(texts), BATCH):
        state = network.preprocess(tf.constant(list(texts[begin : begin + BATCH])))
        state = network.run_blocks(state, 0, len(network.blocks))
        parts.append(network.head.pooled(network.without_added_positions(state)).numpy())
    return np.concatenate(parts).astype(np.float32)
