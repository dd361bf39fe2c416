"""What every network does with raw inputs, inside the graph and ahead of training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.models.preprocessing import INPUT_TOKENS, USED_TOKENS
from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics

SAMPLE_TEXTS = ("good", "bad and long and bad again", "so so", "nothing here is good at all", "a", "fine")
Alternative = tuple[Any, Callable[[Any], dict[str, tf.Tensor]]]  # a TensorSpec, or several by name


class Preprocessing(tf.keras.layers.Layer):
    """Raw inputs [batch] → the first state.

    That is `inputs` [batch, length, *position_shape] and `mask` float32 [batch, length].

    Attributes:
        settings: what the first state of a raw input depends on, as JSON text.
        raw: the signature of raw inputs; its name is that of the exported model's argument.
        position_shape: of what stands at one position of `inputs`; () for an id.
        kept_type: what positions are kept as in memory.
        input_type: the type of `inputs`.
        bucket_width: batches are padded to a multiple of so many positions.
        rows_at_once: how many are encoded together.
        bar_from: so many take about two seconds, and a progress bar is shown.
        alternatives: other forms of raw inputs that an exported model takes, by the name of its signature, and what
            turns them into a first state.
        resources: tables that an exported model looks things up in; it has to hold them.
        columns: names of what a raw input consists of, where it is the row of a table.
        statistics: what is known about these columns.
        cuts: whether the end of a long raw input is not read; there is a `max_length`, and `cut_tokens` counts, then.
        explained_depth: how many blocks stand below the one whose inputs have a gradient; None where none has.
        takes_prompt: whether vectors may be put in front of what the first block gives.
        longest: how large the plan's `model.max_length` may be with these weights; None where that is not known.
    """

    settings: str
    raw: tf.TensorSpec
    position_shape: tuple[int, ...]
    kept_type: np.dtype
    input_type: np.dtype
    bucket_width: int
    rows_at_once = 2048
    bar_from = 10_000
    alternatives: Mapping[str, Alternative] = MappingProxyType({})
    resources: Sequence[Any] = ()
    columns: tuple[str, ...] = ()
    statistics: ColumnStatistics | None = None
    cuts = False
    explained_depth: int | None = None
    takes_prompt = False
    longest: int | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What a caller has to know of raw inputs beside their type, by name."""
        return {}

    def read(self, raw: Any, form: str = "") -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Returns the first state of a batch, and how much of each raw input stands in it: outputs beside a version's
        answer.

        `form` says which of the alternatives they are; any other name none of them.
        """
        first = self.alternatives[form][1] if form in self.alternatives else self
        return first(raw), {}

    @abstractmethod
    def call(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the first state for a batch of raw inputs."""

    @abstractmethod
    def encode(self, raw: Any) -> list[np.ndarray]:
        """Returns the same for each raw input without padding, [length, *position_shape]."""

    @abstractmethod
    def tensor(self, raw: Any) -> tf.Tensor:
        """Returns raw inputs, as a source gives them, as `raw` describes them."""

    def sample(self, generator: np.random.Generator) -> Any:
        """Returns six made-up raw inputs, as a source gives them; numbers where nothing else is said."""
        return generator.normal(size=[len(SAMPLE_TEXTS), self.raw.shape[1]]).astype(np.float32)

    def baseline(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `inputs` that say nothing, in the same shape; explanations are of the difference."""
        return tf.zeros_like(inputs)

    def attributed(self, values: np.ndarray) -> np.ndarray:
        """Returns what each part that a person sees has of an explanation, [parts], given values [length, …] of one
        input at `explained_depth`.
        """
        return values.sum(axis=-1)

    def cut_tokens(self, raw: Any) -> tuple[np.ndarray, np.ndarray]:
        """Returns how many tokens each raw input has, and how many of them are cut off, int64 [n] each."""
        counts = self._counts(raw)
        tokens, used = (counts[name].numpy().astype(np.int64) for name in (INPUT_TOKENS, USED_TOKENS))
        return tokens, tokens - used

    def _counts(self, raw: Any) -> Mapping[str, tf.Tensor]:
        """Returns what `read` says of raw inputs, as a source gives them; only where something `cuts`."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it cuts off")

    def resize(self, size: int) -> None:
        """Sets the height and width of images from now on; what is no image stays as it is."""

    def use_statistics(self, statistics: ColumnStatistics) -> None:
        """Takes other statistics of a table's columns from now on; what is no table stays as it is."""

    def learnt(self) -> dict[str, Any] | None:
        """Returns what a version keeps of it, as plain JSON: what data have taught it; None where that is nothing."""
        return None

    def described(self, positions: int) -> str:
        """Returns in words what an example with so many positions is."""
        return "a row"

    def state_spec(self, batch: int | None = None) -> dict[str, tf.TensorSpec]:
        """Returns the signature of the first state, the length left open."""
        return {
            "inputs": tf.TensorSpec([batch, None, *self.position_shape], self.input_type),
            "mask": tf.TensorSpec([batch, None], tf.float32),
        }
