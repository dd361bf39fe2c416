"""What a stage may say about how it trains: adaptation, optimizer, schedule, early stopping, loss, cache."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator


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


class HeadAdaptation(Strict):
    """Only the head moves; every block is frozen."""

    method: Literal["head"]


class FullAdaptation(Strict):
    """Every weight moves."""

    method: Literal["full"]


class TopBlocksAdaptation(Strict):
    """The head and the last `blocks` blocks move."""

    method: Literal["top-blocks"]
    blocks: int = Field(ge=0)


Adaptation = Annotated[HeadAdaptation | FullAdaptation | TopBlocksAdaptation, Field(discriminator="method")]


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


Schedule = Annotated[
    ConstantSchedule | WarmupLinearSchedule | CosineSchedule | OneCycleSchedule | PlateauSchedule,
    Field(discriminator="name"),
]


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
    """How outputs of frozen leading blocks are kept; the type also applies to the computation that uses them."""

    dtype: Literal["float16", "float32"] = "float16"
