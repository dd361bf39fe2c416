"""What a plan may say about its network: one class for each builder."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from progressive_tf.plan.methods import Strict
from progressive_tf.plan.tasks import OWN_TAG, task_of_builder

Text = Annotated[str, Field(min_length=1)]
BUILDERS_GROUP = "progressive_tf.builders"
OWN_PATTERN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
MOST_TOKENS, MOST_T5_TOKENS = 512, 1024  # that a text may have, for BERT and for T5


class Builder(Strict):
    """What every network's section says about it."""

    @property
    def random_says_little(self) -> bool:
        """Whether the network begins with random weights, and its outputs then say little about a row.

        Those of a perceptron do not count: a random layer of plain numbers keeps what these say.
        """
        return False


class Pretrained(Builder):
    """A network that usually begins with weights of others."""

    @property
    def random_says_little(self) -> bool:
        """Whether the network begins with random weights, and its outputs then say little about a row."""
        return getattr(self, "weights", None) is None


class Bert(Pretrained):
    """A BERT encoder for texts.

    `weights` is an asset's name, a local folder, a hub id, or null for random weights, which need `config` (fields
    of transformers' BertConfig) and `vocabulary` (a WordPiece vocabulary file, one token a line).
    """

    builder: Literal["bert"]
    weights: Text | None
    max_length: int = Field(default=128, ge=3, le=MOST_TOKENS)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    config: dict[str, int | float | str | bool] | None = None
    vocabulary: Text | None = None

    @model_validator(mode="after")
    def _random_weights_are_described(self) -> Bert:
        described = self.config is not None and self.vocabulary is not None
        if self.weights is None and not described:
            raise ValueError("weights: null needs `config` and `vocabulary`; give them, or name weights")
        if self.weights is not None and (self.config is not None or self.vocabulary is not None):
            raise ValueError("`config` and `vocabulary` come with the weights; drop them, or set weights: null")
        return self


class BertTagger(Bert):
    """A BERT encoder that gives every word of a sentence a tag.

    `weights`, `config` and `vocabulary` are as for builder bert. A word's tag is read at its first piece. A sentence of
    more than `max_length` pieces is cut between words into windows, whose answers are joined again.
    """

    builder: Literal["bert-tagger"]  # type: ignore[assignment]


class Mlp(Builder):
    """A multilayer perceptron for rows of numbers: `layers` dense layers of `units` with ReLU, from random weights."""

    builder: Literal["mlp"]
    weights: None = None
    units: int = Field(default=256, ge=1)
    layers: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class ResNet50(Pretrained):
    """ResNet50 for images.

    `weights` is `imagenet` (Keras downloads them), a local Keras file (.h5, .keras) or checkpoint, or null for random
    weights. `blocks: groups` cuts it into the stem and conv2 to conv5, `blocks: residual` after every residual block.
    `dense` puts a layer of so many units with ReLU between the mean over all places and the classes.
    `batch_norm_momentum` is how much of its running mean and variance batch normalisation keeps at each step; Keras'
    own 0.99 follows so slowly that what stages of few steps have learnt is not to be seen in inference.
    """

    builder: Literal["resnet50"]
    weights: Text | None
    blocks: Literal["groups", "residual"] = "groups"
    batch_norm_momentum: float = Field(default=0.9, ge=0, lt=1)
    dense: Annotated[int, Field(ge=1)] | None = None
    dropout: float = Field(default=0.0, ge=0, lt=1)


class T5(Pretrained):
    """A T5 that writes a text for a text: a translation, a summary, a rewording.

    `weights` is a local folder with T5's or ByT5's files, a hub id, or null for random weights, which need `config`
    (fields of transformers' T5Config); without `vocabulary`, a SentencePiece model, these read and write bytes.
    `max_length` and `max_target_length` count tokens, the end included: longer inputs are cut, longer targets refused.
    `prefix` stands in front of every input. A text is searched for with `beams`, and texts are compared by their log
    probability over length^`length_penalty`.
    """

    builder: Literal["t5"]
    weights: Text | None
    max_length: int = Field(default=128, ge=2, le=MOST_T5_TOKENS)
    max_target_length: int = Field(default=128, ge=2, le=MOST_T5_TOKENS)
    beams: int = Field(default=4, ge=1, le=16)
    length_penalty: float = Field(default=1.0, ge=0, le=4)
    prefix: str = ""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    config: dict[str, int | float | str | bool] | None = None
    vocabulary: Text | None = None

    @model_validator(mode="after")
    def _random_weights_are_described(self) -> T5:
        if self.weights is None and self.config is None:
            raise ValueError("weights: null needs `config`, such as {d_model: 128, num_layers: 2}; give it, or weights")
        if self.weights is not None and (self.config is not None or self.vocabulary is not None):
            raise ValueError("`config` and `vocabulary` come with the weights; drop them, or set weights: null")
        return self


class OwnBuilder(Builder):
    """A network of one's own: `module:function`, or an installed entry point of the group `progressive_tf.builders`.

    `settings` is whatever the function reads; `weights` too.
    """

    builder: Text
    weights: Text | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


def builder_tag(model: Any) -> str | None:
    """Returns which kind of model section this is; "module:function" for a builder of one's own.

    A name of this package stands for its own network, whatever is installed: what is installed is read file by file.
    """
    builder = model.get("builder") if isinstance(model, dict) else getattr(model, "builder", None)
    if not isinstance(builder, str):
        return None
    if task_of_builder(builder) is not None:
        return builder
    if OWN_PATTERN.fullmatch(builder) or builder in entry_points(group=BUILDERS_GROUP).names:
        return OWN_TAG
    return builder


Network = Annotated[
    Annotated[Bert, Tag("bert")]
    | Annotated[BertTagger, Tag("bert-tagger")]
    | Annotated[Mlp, Tag("mlp")]
    | Annotated[ResNet50, Tag("resnet50")]
    | Annotated[T5, Tag("t5")]
    | Annotated[OwnBuilder, Tag(OWN_TAG)],
    Discriminator(builder_tag),
]
