"""What a plan may say about how it begins, trains and is explained: its smaller sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from progressive_tf.errors import listed


class Strict(BaseModel):
    """A frozen part of a plan that refuses unknown keys, wrong types and numbers that are not finite.

    Null removes a key that cannot be null.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null_removes(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        nullable = {key for key, field in cls.model_fields.items() if type(None) in get_args(field.annotation)}
        kept = nullable | (set(value) - set(cls.model_fields))  # an unknown key stays, to be refused
        return {key: item for key, item in value.items() if item is not None or key in kept}


Share = Annotated[float, Field(gt=0, lt=1)]
PROMPT = "prompt"
Description = Annotated[str, Field(min_length=1)]
EXPLANATION_CORRELATION = "explanation_correlation"


def tuple_from_list(value: Any) -> Any:
    """Returns a YAML list as the tuple that a frozen plan holds; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


class Augmentation(Strict):
    """Random changes to images in training, others in every epoch; evaluation images stay as they are.

    `flip` mirrors half of them, left to right. `crop` cuts away up to that share of both sides and stretches the
    rest, `zoom` shows up to that share more or less, `shear` slants by up to that share of the height, `rotate` turns
    by up to so many degrees. `colour` changes brightness, contrast and saturation by up to that share. `cutout` greys
    out a square with that share of the side (DeVries & Taylor 2017). Where an edge comes into view, it is mirrored.
    """

    flip: bool = False
    crop: Annotated[float, Field(ge=0, lt=1)] = 0.0
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shear: Annotated[float, Field(ge=0, lt=1)] = 0.0
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    colour: Annotated[float, Field(ge=0, lt=1)] = 0.0
    cutout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _changes_something(self) -> Augmentation:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError(f"nothing is changed; give one of {', '.join(type(self).model_fields)}, or null")
        return self


class Abstain(Strict):
    """When a stage's model is to say that it does not know.

    At the stage's end the lowest probability is chosen from which on, of the answers that are given, at most
    `error_at_most` are wrong, with that confidence, as the validation rows of the stage and of all that it builds on
    show.
    """

    error_at_most: Share
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.9


class Optimizer(Strict):
    """An optimizer and its settings.

    `weight_decay` is decoupled and multiplied by the learning rate for every optimizer; biases and normalisation
    weights are left out of it; the default is 0.01 for adamw and 0 for the others; in lamb it is part of the update
    whose length the trust ratio sets. `carry_state` starts from the optimizer state that the previous stage ended with.
    """

    name: Literal["adam", "adamw", "sgd", "lamb", "lazyadam"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)
    momentum: float | None = Field(default=None, ge=0, lt=1)
    clip_norm: float | None = Field(default=None, gt=0)
    carry_state: bool = False

    @model_validator(mode="after")
    def _momentum_is_for_sgd(self) -> Optimizer:
        if self.momentum is not None and self.name != "sgd":
            raise ValueError(f"momentum is a setting of sgd, not of {self.name}; drop it")
        return self

    @property
    def decay(self) -> float:
        """The weight decay in force."""
        if self.weight_decay is None:
            return 0.01 if self.name == "adamw" else 0.0
        return self.weight_decay


class ConstantSchedule(Strict):
    """The base rate throughout."""

    name: Literal["constant"]


class WarmupLinearSchedule(Strict):
    """Linear rise over the share `warmup` of all steps, then linear fall to zero."""

    name: Literal["warmup-linear"]
    warmup: float = Field(default=0.1, ge=0, lt=1)


class CosineSchedule(Strict):
    """Cosine fall (Loshchilov & Hutter 2017) to `final` times the base rate, after an optional linear warm-up."""

    name: Literal["cosine"]
    warmup: float = Field(default=0.0, ge=0, lt=1)
    final: float = Field(default=0.0, ge=0, le=1)


class OneCycleSchedule(Strict):
    """Cosine rise from base/`start_divisor` to the base rate at the share `peak`, then fall to base/`end_divisor`."""

    name: Literal["one-cycle"]
    peak: Share = 0.3
    start_divisor: float = Field(default=25.0, ge=1)
    end_divisor: float = Field(default=1e4, ge=1)


class PlateauSchedule(Strict):
    """The rate is multiplied by `factor` after `patience` epochs without a `val_loss` lower by more than 0.0001."""

    name: Literal["plateau"]
    factor: Share = 0.5
    patience: int = Field(default=2, ge=1)
    minimum: float = Field(default=0.0, ge=0)


class AdaptiveSchedule(Strict):
    """The stage begins with a rate that follows from how well the old model knows the new data.

    It is the base rate times that model's loss on the new training rows over the loss of one that knows nothing, within
    [0.1, 10]; then it falls as under `plateau`. A loss that is not finite halves it and goes back to the weights before
    the epoch, three times at most.
    """

    name: Literal["adaptive"]
    factor: Share = 0.5
    patience: int = Field(default=2, ge=1)
    minimum: float = Field(default=0.0, ge=0)


Schedule = Annotated[
    ConstantSchedule | WarmupLinearSchedule | CosineSchedule | OneCycleSchedule | PlateauSchedule | AdaptiveSchedule,
    Field(discriminator="name"),
]


class HeadStart(Strict):
    """How the outputs of classes that are new in a stage begin, before it trains.

    `random`, or as `prototypes`: the direction from the mean of the stage's classes to the class' own mean, as long as
    the outputs of earlier classes are on average (imprinted weights, Qi et al. 2018); where there are none, as long as
    suits validation rows best.
    """

    init: Literal["random", "prototypes"] = "random"


class EarlyStopping(Strict):
    """Stops after `patience` epochs without a better `monitor`, and restores the stage's best weights."""

    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    patience: int = Field(default=2, ge=1)
    min_delta: float = Field(default=0.0, ge=0)


class CrossEntropy(Strict):
    """Cross-entropy."""

    name: Literal["cross-entropy"]


class Focal(Strict):
    """Focal loss (Lin et al. 2017) with focusing parameter `gamma`."""

    name: Literal["focal"]
    gamma: float = Field(default=2.0, ge=0)


class LabelSmoothing(Strict):
    """Cross-entropy against labels mixed with the uniform distribution by `amount` (Szegedy et al. 2016)."""

    name: Literal["label-smoothing"]
    amount: Share = 0.1


Loss = Annotated[CrossEntropy | Focal | LabelSmoothing, Field(discriminator="name")]


class TokenBudget(Strict):
    """Batches of as many examples as fit into `tokens` padded tokens."""

    tokens: int = Field(ge=1)


class Cache(Strict):
    """How outputs of frozen leading blocks are kept; the type also applies to the computation that uses them.

    `storage: off` computes them anew whenever they are needed, the same way and to the same bits. The least recently
    used outputs are deleted where all of them take more than `max_gb` (10⁹ bytes each).
    """

    dtype: Literal["float16", "float32"] = "float16"
    storage: Literal["disk", "off"] = "disk"
    max_gb: float = Field(default=10.0, gt=0)


class Contrastive(Strict):
    """First trains the pooled output on pairs of examples, then the head on what comes out (Tunstall et al. 2022).

    Similarities enter a softmax at `temperature`, 0.1 by default, or distances are compared with `margin`.
    """

    name: Literal["contrastive"]
    pairs_per_example: int = Field(default=20, ge=1)
    temperature: float | None = Field(default=None, gt=0)
    margin: float | None = Field(default=None, gt=0, le=2)
    epochs: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=2e-5, gt=0)

    @model_validator(mode="after")
    def _temperature_or_margin(self) -> Contrastive:
        if self.temperature is not None and self.margin is not None:
            raise ValueError("temperature and margin each name a loss; keep one")
        return self

    @property
    def softmax_temperature(self) -> float:
        """The temperature in force where no margin is given."""
        return 0.1 if self.temperature is None else self.temperature


class AgainstVersion(Strict):
    """A version of the plan's model in the registry, by its number."""

    version: int = Field(ge=1)


class Probes(Strict):
    """After each stage, why the network says the right class of the same gate rows of the first stage."""

    take: Annotated[int, Field(ge=1)] = 50
    steps: Annotated[int, Field(ge=8, le=512)] = 32


class PromptStart(Strict):
    """The head starts from the encoder's embedding of a description of each class: one text, or several to average."""

    prompt: Annotated[dict[str, Description | Annotated[list[Description], Field(min_length=1)]], Field(min_length=2)]


def descriptions_of(start: str | int | PromptStart, labels: tuple[str, ...]) -> Mapping[str, tuple[str, ...]] | None:
    """Returns the descriptions of each class, or None where a plan starts from none; a class's name stands for itself.

    Args:
        start: as in a plan.
        labels: the classes.

    Raises:
        ValueError: a description for no class, or a class without one.
    """
    if isinstance(start, PromptStart):
        given = start.prompt
        missing, unknown = (
            [name for name in labels if name not in given],
            [name for name in given if name not in labels],
        )
        if missing or unknown:
            wrong = f"{missing[0]!r} has none" if missing else f"{unknown[0]!r} is no class"
            raise ValueError(f"start.prompt: a description for each of {listed(labels)} expected; {wrong}")
        return {label: (text,) if isinstance(text := given[label], str) else tuple(text) for label in labels}
    if start == PROMPT:
        return {label: (label.replace("_", " ").replace("-", " ").lower(),) for label in labels}
    return None


Action = Literal["warn", "drop", "fail"]
ActionWithoutDrop = Literal["warn", "fail"]
# These decide whether a run begins, and never which rows it has.
SAY_WHETHER_IT_BEGINS = ("similar_labels", "odd_labels", "cut_texts", "alike_gate_rows")
# Keys that came after the first runs were made, and what plans without them have.
LATER_QUALITY_KEYS = {"odd_cells": "warn"}


def _not_dropped(value: Any) -> Any:
    if value == "drop":
        raise ValueError(
            "drop would take rows out only because of how their label is written; merge such labels with "
            "data.normalize_labels, or set warn, fail or null"
        )
    return value


AboutLabels = Annotated[ActionWithoutDrop, BeforeValidator(_not_dropped)]


class Quality(Strict):
    """What happens to each kind of finding: warn, drop the rows, fail; null turns the check off."""

    similar_labels: AboutLabels | None = "fail"
    odd_labels: AboutLabels | None = "fail"
    empty_text: Action | None = "drop"
    broken_tags: Action | None = "warn"
    odd_cells: Action = "warn"
    cut_texts: ActionWithoutDrop | None = "warn"
    alike_gate_rows: ActionWithoutDrop | None = "warn"
    duplicates: Action | None = "drop"
    conflicting_labels: Action | None = "warn"
    label_noise: Action | None = "warn"
    leakage: Action | None = "fail"
    unreadable_images: Literal["drop", "fail"] = "drop"
    odd_images: ActionWithoutDrop | None = "warn"
    class_imbalance: ActionWithoutDrop | None = "warn"
    too_few_per_class: ActionWithoutDrop | None = "warn"
