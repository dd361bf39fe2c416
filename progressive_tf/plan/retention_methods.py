"""What a stage may say about keeping what earlier stages have learnt."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from progressive_tf.plan.methods import Share, Strict, tuple_from_list


class Replay(Strict):
    """Rows of earlier stages in every batch (Robins 1995).

    How many are kept: `budget` in all, `per_class` of each class, or a `fraction` of them. `reservoir` keeps a uniform
    sample (Vitter 1985), `balanced` equally many of each class. `ratio` is their share of each batch; with
    `proportional` that of all rows, so that each row is seen as often as any other.
    """

    budget: Annotated[int, Field(ge=1)] | None = None
    per_class: Annotated[int, Field(ge=1)] | None = None
    fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    policy: Literal["reservoir", "balanced"] = "reservoir"
    ratio: Share | Literal["proportional"] = 0.5

    @model_validator(mode="after")
    def _one_size(self) -> Replay:
        given = [key for key in ("budget", "per_class", "fraction") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of budget, per_class, fraction; got {' and '.join(given) or 'none'}")
        return self

    def share(self, own: int, kept: int) -> float:
        """Returns the kept rows' share of each batch, given how many rows a stage has and how many are kept."""
        return kept / (own + kept) if self.ratio == "proportional" else self.ratio


class Ewc(Strict):
    """Weights that mattered to earlier stages stay near their values (Kirkpatrick et al. 2017).

    Adds strength / 2 · Σ F (θ − θ*)² to the loss, F the diagonal Fisher information on `samples` rows of each earlier
    stage: over all classes by their probability (`exact`), for one class drawn from the model (`sampled`), or for the
    label (`empirical`). With `online`, one F for all earlier stages around the newest weights, each of which weighs
    `decay` times what the next one does (Schwarz et al. 2018).
    """

    strength: float = Field(default=100.0, gt=0)
    fisher: Literal["exact", "empirical", "sampled"] = "exact"
    samples: int = Field(default=200, ge=1)
    online: bool = False
    decay: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _decay_is_for_online(self) -> Ewc:
        if self.decay != 1.0 and not self.online:
            raise ValueError("decay: is for online: true; drop it, or set that")
        return self


class Lwf(Strict):
    """Outputs for the known classes stay near those of the model before the stage (Li & Hoiem 2016)."""

    strength: float = Field(default=1.0, gt=0)
    temperature: float = Field(default=2.0, gt=0)


class Distill(Strict):
    """Outputs follow those of a teacher (Hinton et al. 2015).

    `teacher` is `stable`, a version's number, or the folder of an exported version.
    """

    teacher: Literal["stable"] | Annotated[int, Field(ge=1)] | Annotated[str, Field(min_length=1)] = "stable"
    strength: float = Field(default=1.0, gt=0)
    temperature: float = Field(default=2.0, gt=0)


class EmaAverage(Strict):
    """The stage ends with an exponential moving average of its weights (Polyak & Juditsky 1992), one step at a time.

    The average begins at the weights that the stage starts from. Validation looks at it.
    """

    kind: Literal["ema"]
    decay: float = Field(default=0.99, gt=0, lt=1)


class SwaAverage(Strict):
    """The stage ends with the mean of its weights at every `every`th step from step `start` on (Izmailov et al. 2018).

    Validation looks at the mean, before step `start` at the weights themselves.
    """

    kind: Literal["swa"]
    start: int = Field(default=0, ge=0)
    every: int = Field(default=10, ge=1)


class Mixture(Strict):
    """What a stage has learnt, mixed with what there was before: `coefficient` is its own share.

    Without one, the share is chosen among 0, 0.1 … 1 (and an equal share of all): the best accuracy on the
    stage's validation rows among those that lose at most `drop_at_most` on those of each earlier stage.
    """

    kind: str
    coefficient: float | None = Field(default=None, ge=0, le=1)
    drop_at_most: float = Field(default=0.02, ge=0, le=1)

    @model_validator(mode="after")
    def _drops_choose_the_coefficient(self) -> Mixture:
        if self.coefficient is not None and self.drop_at_most != type(self).model_fields["drop_at_most"].default:
            raise ValueError("drop_at_most: is for choosing the coefficient, and one is given; drop either")
        return self


class WiseFtAverage(Mixture):
    """Weights between those that the stage started from and its own (Wortsman et al. 2022b)."""

    kind: Literal["wise-ft"]


class SoupAverage(Mixture):
    """Weights between the mean of those of earlier stages and the stage's own (Wortsman et al. 2022a).

    `stages` names earlier stages, by default all that the stage builds on.
    """

    kind: Literal["soup"]
    stages: Annotated[tuple[str, ...], BeforeValidator(tuple_from_list), Field(min_length=1)] | None = None


class EnsembleAverage(Mixture):
    """Probabilities between the mean of those of earlier stages and the stage's own, served as one model.

    `stages` names earlier stages, by default all that the stage builds on. The next stage starts from the stage's own
    weights.
    """

    kind: Literal["ensemble"]
    stages: Annotated[tuple[str, ...], BeforeValidator(tuple_from_list), Field(min_length=1)] | None = None


RunningAverage = EmaAverage | SwaAverage
Average = Annotated[
    EmaAverage | SwaAverage | WiseFtAverage | SoupAverage | EnsembleAverage, Field(discriminator="kind")
]


class Retention(Strict):
    """Methods that keep old skills; they add up."""

    replay: Replay | None = None
    ewc: Ewc | None = None
    lwf: Lwf | None = None
    distill: Distill | None = None
    average: Average | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of those that are asked for."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)
