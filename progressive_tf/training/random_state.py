"""Dropout that can be put back to the start of any epoch."""

from __future__ import annotations

from progressive_tf.models.block_model import BlockModel
from progressive_tf.seeds import derive_seed


def reset_random_layers(network: BlockModel, seed: int, stage: str, epoch: int, frozen_depth: int = 0) -> None:
    """Sets the generator of every random layer above the frozen blocks to a seed of its own for this stage and epoch.

    Keras leaves these generators out of checkpoints; deriving their state makes them part of none and resumable. It
    also makes them only when a layer is first called, which in a restarted process is after this.
    """
    # The public `submodules` also walks every weight: a third of a second for six layers of BERT, at each epoch.
    layers = [layer for layer in network._flatten_layers() if hasattr(layer, "_random_generator")]
    frozen = {id(layer) for block in network.blocks[:frozen_depth] for layer in block._flatten_layers()}
    for index, layer in enumerate(layers):
        if id(layer) in frozen:
            continue  # it draws nothing, and setting it takes a millisecond
        layer._random_generator._maybe_init()
        layer._random_generator._generator.reset_from_seed(derive_seed(seed, "dropout", stage, epoch, index))
