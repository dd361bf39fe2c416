"""What a stage may say about which weights move."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from progressive_tf.plan.methods import Strict, tuple_from_list


class MovesBlocks(Strict):
    """What a method says about the blocks before a network is there: as a rule it moves some and freezes some."""

    @property
    def moves_blocks(self) -> bool:
        """Whether anything beside the head moves."""
        return True

    @property
    def freezes_blocks(self) -> bool:
        """Whether blocks may be left as they are."""
        return True

    @property
    def takes_steps(self) -> bool:
        """Whether an optimizer moves the weights, over epochs."""
        return True


class HeadAdaptation(MovesBlocks):
    """Only the head moves; every block is frozen."""

    method: Literal["head"]

    @property
    def moves_blocks(self) -> bool:
        """No."""
        return False


FROM_SUMS = ("slda", "prototypes")


class FromSums(MovesBlocks):
    """The head follows from sums over rows, each of which counts once, in this stage or an earlier one."""

    @property
    def moves_blocks(self) -> bool:
        """No."""
        return False

    @property
    def takes_steps(self) -> bool:
        """No."""
        return False


class SldaAdaptation(FromSums):
    """The head is a linear discriminant, learnt row by row; every block is frozen (Hayes & Kanan 2020).

    Of each class the number of rows and their sum are kept, of all together one covariance, which is shrunk towards
    equal variances by `shrinkage`; null: by as much as so many rows of such a width need (Chen et al. 2010). No epoch,
    no rate; nothing is forgotten. Probabilities get a temperature that is fitted on validation rows.
    """

    method: Literal["slda"]
    shrinkage: Annotated[float, Field(gt=0, le=1)] | None = None


class PrototypesAdaptation(FromSums):
    """The head says the class whose mean is nearest; every block is frozen (Rebuffi et al. 2017).

    Means, and the temperature of probabilities, are kept and fitted as in `slda`.
    """

    method: Literal["prototypes"]


class FullAdaptation(MovesBlocks):
    """Every weight moves."""

    method: Literal["full"]

    @property
    def freezes_blocks(self) -> bool:
        """No."""
        return False


class TopBlocksAdaptation(MovesBlocks):
    """The head and the last `blocks` blocks move."""

    method: Literal["top-blocks"]
    blocks: int = Field(ge=0)

    @property
    def moves_blocks(self) -> bool:
        """Where any are asked for."""
        return self.blocks > 0


class GradualAdaptation(MovesBlocks):
    """Unfreezes from the top, phase by phase, within one stage (Howard & Ruder 2018).

    The first phase trains the head alone; each later phase also moves the next `blocks_per_phase` blocks below. A phase
    lasts `epochs_per_phase` epochs, or less where early stopping ends it; the last one has what is left of `epochs`.
    """

    method: Literal["gradual"]
    blocks_per_phase: int = Field(default=1, ge=1)
    epochs_per_phase: int = Field(default=1, ge=1)


class LoraAdaptation(MovesBlocks):
    """The head and low-rank updates of the targeted matrices move (Hu et al. 2021).

    A matrix W becomes W + alpha/rank · A·B. `targets` name roles of matrices; blocks below `from_block` (numbered as
    `--dry-run` shows them) stay as they are. With `merge` the updates are added to the matrices when the stage ends;
    without, they stay apart, and a later stage with the same settings trains them on.
    """

    method: Literal["lora"]
    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Annotated[tuple[str, ...], BeforeValidator(tuple_from_list), Field(min_length=1)] = ("query", "value")
    from_block: int = Field(default=0, ge=0)
    merge: bool = True

    @model_validator(mode="after")
    def _each_target_once(self) -> LoraAdaptation:
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"targets: each role once; got {list(self.targets)}")
        return self


class AdapterAdaptation(MovesBlocks):
    """The head, and bottlenecks of `size` numbers after both sublayers of each block, move (Houlsby et al. 2019).

    Normalisation weights of the blocks with adapters move too, as in the paper. Adapters stay part of the network.
    """

    method: Literal["adapter"]
    size: int = Field(default=32, ge=1)
    from_block: int = Field(default=0, ge=0)


class BitfitAdaptation(MovesBlocks):
    """The head and every bias move (Ben Zaken et al. 2021)."""

    method: Literal["bitfit"]


class PromptAdaptation(MovesBlocks):
    """The head and `length` vectors in front of the embedded text move (Lester et al. 2021).

    The vectors start as embeddings of words drawn from the vocabulary. They take part in attention only: the mean over
    positions leaves them out, and a pooler still reads the text's first token. They stay part of the network.
    """

    method: Literal["prompt"]
    length: int = Field(default=16, ge=1)


Adaptation = Annotated[
    HeadAdaptation
    | FullAdaptation
    | TopBlocksAdaptation
    | GradualAdaptation
    | LoraAdaptation
    | AdapterAdaptation
    | BitfitAdaptation
    | PromptAdaptation
    | SldaAdaptation
    | PrototypesAdaptation,
    Field(discriminator="method"),
]
