"""Soft prompts: vectors in front of the embedded text (Lester et al. 2021)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights, move_where
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.projection import AddedBlock
from progressive_tf.plan.adaptation_methods import PromptAdaptation
from progressive_tf.seeds import derive_seed

KIND = "prompt"


class Prompt(AddedBlock):
    """Puts `length` trainable vectors, `width` numbers each, in front of every example's positions."""

    kind = KIND

    def __init__(self, length: int, width: int) -> None:
        super().__init__(name=KIND)
        self.added_positions = length
        self.width = width
        self.vectors = self.add_weight(name="prompt/vectors", shape=[length, width], initializer="zeros")

    @property
    def settings(self) -> dict[str, Any]:
        """How many vectors there are."""
        return {"length": self.added_positions}

    def call(self, state: State, training: bool = False) -> State:
        """Returns the state with `length` more positions, float [batch, length + positions, width]."""
        hidden = state["hidden"]
        shape = [tf.shape(hidden)[0], self.added_positions, hidden.shape[2]]
        vectors = tf.broadcast_to(tf.cast(self.vectors, hidden.dtype), shape)
        present = tf.ones(shape[:2], state["mask"].dtype)
        return {"hidden": tf.concat([vectors, hidden], 1), "mask": tf.concat([present, state["mask"]], 1)}


def prompt(network: BlockModel, settings: PromptAdaptation, seed: int) -> MovedWeights:
    """Adds the prompt if it is not there yet, and returns its vectors and the head's weights.

    The vectors start as the embeddings of words drawn from the vocabulary (section 3.2 of the paper).

    Raises:
        InputError: a network that reads no texts, a prompt as long as the longest text, or one of another length that
            an earlier stage has added.
    """
    if not network.preprocess.takes_prompt:
        raise InputError(
            "adaptation.method: prompt puts vectors in front of the words of a text; choose another method"
        )
    longest = network.preprocess.max_length
    if settings.length >= longest:
        raise InputError(
            f"adaptation.length: {settings.length} asked, model.max_length is {longest}; a prompt is shorter than the "
            f"longest text, so lower it"
        )
    present = next((block for block in network.blocks if isinstance(block, Prompt)), None)
    if present is not None and present.added_positions != settings.length:
        raise InputError(
            f"adaptation.length: {settings.length} asked, an earlier stage has added a prompt of "
            f"{present.added_positions}; use that"
        )
    if present is None:
        added = Prompt(settings.length, network.width)
        added.vectors.assign(_embedded_words(network, settings.length, derive_seed(seed, "initialisation", KIND)))
        network.insert_block(1, added)
    return move_where(network, lambda block, weight: block == KIND)


def _embedded_words(network: BlockModel, count: int, seed: int) -> tf.Tensor:
    """Returns embeddings of words drawn from the vocabulary, float32 [count, width]."""
    words = np.random.default_rng(seed).integers(len(network.preprocess.tokenizer.vocab_list), size=[1, count])
    state = {"inputs": tf.constant(words, tf.int32), "mask": tf.ones([1, count])}
    return tf.cast(network.run_blocks(state, 0, 1)["hidden"][0], tf.float32)
