"""A network that writes a text: an encoder's blocks, then a decoder's, and a search for the likeliest text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import tensorflow as tf

from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.preprocessing.written import PAD, TextToTextPreprocessing
from progressive_tf.models.projection import Block
from progressive_tf.models.t5.beam_search import NEVER, Search, beam_search
from progressive_tf.models.t5.t5_blocks import TARGET, LanguageModelHead
from progressive_tf.plan.metric_names import TEXTS


class Translator(BlockModel):
    """Blocks of an encoder and of a decoder.

    What it writes is cut off, or kept, only between blocks of the encoder: those of the decoder depend on what is
    written. `call` gives the logits of each token of `target`, given the tokens before it, float32
    [batch, target length, tokens].

    Args:
        preprocess: texts → tokens, and back.
        encoder: its blocks.
        decoder: its blocks, the embeddings first.
        head: hidden states → logits.
        search: how a text is searched for.
        settings: what the blocks compute beside their weights, as JSON text.
    """

    answers = TEXTS.name
    preprocess: TextToTextPreprocessing
    head: LanguageModelHead
    grows = False  # tokens are the same in every stage
    target_spec: Mapping[str, tf.TensorSpec] = MappingProxyType({TARGET: tf.TensorSpec([None, None], tf.int32)})

    def __init__(
        self,
        preprocess: TextToTextPreprocessing,
        encoder: Sequence[Block],
        decoder: Sequence[Block],
        head: LanguageModelHead,
        search: Search,
        settings: str,
    ) -> None:
        super().__init__(preprocess, [*encoder, *decoder], head, (), settings)
        self.search = search
        self._encoder_blocks = len(encoder)

    @property
    def head_shares_embeddings(self) -> bool:
        """Whether its last matrix is the table of tokens."""
        return self.head.shares_embeddings

    @property
    def choices(self) -> int:
        """How many tokens there are to choose from."""
        return self.preprocess.tokens.count

    @property
    def deepest_cut(self) -> int:
        """How many leading blocks depend on the input alone."""
        return self._encoder_blocks + len(self.blocks) - len(self.own_blocks)

    def logits_shape(self, state: State) -> tuple[int, ...]:
        """Returns the shape of the logits: tokens at every position of `target`."""
        return *map(int, state[TARGET].shape), self.choices

    def sample_targets(self, rows: Sequence[int]) -> State:
        """Returns the tokens of short texts that begin differently."""
        return {TARGET: tf.constant(np.array([[3 + row, 4, 5, 1] for row in rows], np.int32))}

    def sample_loss(self, logits: tf.Tensor, state: State) -> tf.Tensor:
        """Returns the mean loss of the target's tokens."""
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(state[TARGET], logits))

    def probabilities(self, state: State) -> tf.Tensor:
        """Returns the confidence of each text that it writes, float32 [batch]."""
        return self.write(state)["confidence"]

    def write(self, state: State, first_block: int = 0) -> dict[str, tf.Tensor]:
        """Returns the likeliest text that the search finds for each row.

        Args:
            state: the state before block `first_block`, one of the encoder or the first of the decoder.
            first_block: the block to start from.

        Returns:
            `tokens` int32 [batch, longest], 0 behind the end, and `confidence` float32 [batch]: the geometric mean of
            their probabilities, the end's included.
        """
        encoded = self.run_blocks(state, first_block, self.deepest_cut)
        hidden, mask = encoded["hidden"], encoded["mask"]
        begin, *layers = self.blocks[self.deepest_cut :]
        kept = [layer.cross.keys_and_values(hidden) for layer in layers]
        batch, beams = tf.shape(mask)[0], self.search.beams
        first = layers[0].own
        ids = tf.range(begin.tokens)
        is_text = (ids != PAD) & (ids < self.preprocess.tokens.count)
        head_width = first.key.units // first.heads
        # Its axes: layer, key or value, beams of all texts, head, position, width.
        memory = tf.zeros([len(layers), 2, batch * beams, first.heads, 0, head_width])

        def step(last: tf.Tensor, memory: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            hidden = begin.embedded(last)
            grown = []
            for index, layer in enumerate(layers):
                hidden, written = layer.step(hidden, memory[index], kept[index], mask)
                grown.append(written)
            log_probabilities = tf.nn.log_softmax(self.head({"hidden": hidden}))
            return tf.where(is_text, log_probabilities, NEVER), tf.stack(grown)

        tokens, log_probability = beam_search(step, memory, batch, self.search)
        length = tf.maximum(tf.reduce_sum(tf.cast(tokens != PAD, tf.float32), axis=1), 1.0)
        return {"tokens": tokens, "confidence": tf.exp(tf.minimum(log_probability / length, 0.0))}
