"""What can be asked of every kind of answer; the defaults suit a kind of which only the served outputs are known."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from progressive_tf.data.label_spelling import Spelling
from progressive_tf.models.preprocessing import INPUT_TOKENS, UNKNOWN_CELLS, USED_TOKENS, WINDOWS
from progressive_tf.serving.fields import is_storable
from progressive_tf.serving.limits import Refusal

CONFIDENCE, PROBABILITIES, UNKNOWN_SCORE = "confidence", "probabilities", "unknown_score"
LONGEST_TEXT = 2**16
_BESIDE = {CONFIDENCE, PROBABILITIES, INPUT_TOKENS, USED_TOKENS, WINDOWS, UNKNOWN_CELLS}


@dataclass(frozen=True)
class KnownLabels:
    """The classes of the versions that are served.

    Args:
        names: how each may be given → how answers have it; empty where versions do not say their classes.
        spelling: how else they may be written.
        split: words of earlier versions for what is several classes now → these.
    """

    names: Mapping[str, str]
    spelling: Spelling
    split: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class ServedAnswers:
    """Answers as a server gives and keeps them, and as they are monitored.

    Attributes:
        says: the outputs that are the answer, the label first; where empty, all that neither describe the input nor
            say how sure the answer is.
        how_sure: the outputs that say how sure the answer is.
        has_categories: whether labels are counted, see `category`.
        in_batches: whether a batch of many takes little longer than one, so that both are warmed up.
        truth_column: of `predictions.parquet`, what is right; None where a stage's answers are no reference.
        confidence_column: of the same file, how sure a stage was of its answers; None where it does not say.
    """

    says: ClassVar[tuple[str, ...]] = ()
    how_sure: ClassVar[tuple[str, ...]] = (PROBABILITIES, CONFIDENCE, UNKNOWN_SCORE)
    has_categories: ClassVar[bool] = False
    in_batches: ClassVar[bool] = True
    truth_column: ClassVar[str | None] = None
    confidence_column: ClassVar[str | None] = None

    def said(self, outputs: Iterable[str]) -> Sequence[str]:
        """Returns the names of the outputs that are the answer, of outputs by name."""
        return self.says or [name for name in outputs if name not in _BESIDE]

    def label(self, outputs: Mapping[str, Any]) -> Any:
        """Returns what an answer says, JSON-like; None where none of its outputs does."""
        return next((outputs[name] for name in self.said(outputs) if name in outputs), None)

    def same(self, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
        """Whether the outputs of two versions say the same."""
        return all(ours.get(name) == theirs.get(name) for name in self.said({**ours, **theirs}))

    def must_be_finite(self, output: str) -> bool:
        """Whether a version is wrong that gives NaN or infinity in an output: in the answer, and in how sure it is."""
        return not self.says or output in (*self.says, *self.how_sure)

    def trimmed(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Returns the outputs of one instance without what fills them up to the length of others in its batch."""
        return outputs

    def kept(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the outputs that are kept beside an input, where inputs are kept."""
        return {}

    def read_feedback(self, value: Any, known: KnownLabels) -> tuple[Any, str | None]:
        """Returns a right label as it is compared with answers, and the text that it stands for, if there is one.

        Args:
            value: the label as a user gave it, JSON-like.
            known: the classes that are served.

        Raises:
            Refusal: 400, it is no answer of this kind.
        """
        if len(text := json.dumps(value, ensure_ascii=False)) > LONGEST_TEXT or not is_storable(text):
            raise Refusal(400, f"label: JSON in UTF-8 of at most {LONGEST_TEXT} characters expected")
        return value, None

    def asked(self, kept: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what was asked of an input that is kept, without what was answered to it."""
        return dict(kept)

    def is_known(self, label: Any, labels: Collection[str]) -> bool:
        """Whether a plan with these labels can train on a label."""
        return True

    def is_readable(self, label: Any) -> bool:
        """Whether a label is what was said, and not only its fingerprint."""
        return True

    def category(self, label: Any) -> str | None:
        """Returns what a label is counted as; None where nearly every answer is another."""
        return None


def probabilities_of(outputs: Mapping[str, Any]) -> Sequence[float] | None:
    """Returns the probabilities of the classes, else the confidence of the whole answer; None without either."""
    if PROBABILITIES in outputs:
        return outputs[PROBABILITIES]
    return [outputs[CONFIDENCE]] if CONFIDENCE in outputs else None
