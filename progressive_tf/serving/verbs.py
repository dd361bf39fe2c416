"""What can be asked of a model in TensorFlow Serving's interface: to predict, to classify, and to regress."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from progressive_tf.serving.answers.base import PROBABILITIES
from progressive_tf.serving.described import LABEL_BEFORE
from progressive_tf.serving.examples import read_examples
from progressive_tf.serving.instances import PredictRequest, Signatures, read_request, reply
from progressive_tf.serving.limits import Limits, Refusal
from progressive_tf.serving.loaded import LoadedVersion

Outputs = Sequence[Mapping[str, Any]]
PREDICTION_ID = "prediction_id"  # beside the outputs of a version where a reply has no other place for it


@dataclass(frozen=True)
class Verb:
    """One of the three.

    Args:
        name: as a path ends with it.
        read: a body, JSON-like, the inputs of each signature by name, and limits → what is asked; raises Refusal.
        fits: a version and the name of a signature → whether its answers can be given so.
        reply: what was asked, by which version, and the outputs of each instance by name → the reply, JSON-like.
    """

    name: str
    read: Callable[[Mapping[str, Any], Signatures, Limits], PredictRequest]
    fits: Callable[[LoadedVersion, str], bool]
    reply: Callable[[PredictRequest, LoadedVersion, Outputs], dict[str, Any]]

    def check(self, loaded: LoadedVersion, signature: str, outputs: Collection[str] = ()) -> None:
        """Raises Refusal, 400, where a version's answers by a signature cannot be given so, and says how they can, or
        where they have not all of these outputs.
        """
        known = [*loaded.output_specs[signature], LABEL_BEFORE, PREDICTION_ID]
        if unknown := sorted(set(outputs) - set(known)):
            raise Refusal(400, f"unknown output {unknown[0]!r:.80}; known: {', '.join(known)}")
        if not self.fits(loaded, signature):
            others = " or ".join(f":{verb.name}" for verb in VERBS if verb.fits(loaded, signature))
            says = ", ".join(loaded.output_specs[signature])
            raise Refusal(
                400, f"{_EXPECTS[self.name]}; version {loaded.number} answers {signature} with {says}: use {others}"
            )


_EXPECTS = {
    "classify": ":classify asks for the probability of each class",
    "regress": ":regress asks for one number",
}


def classified(loaded: LoadedVersion, outputs: Outputs) -> list[list[tuple[str, float]]]:
    """Returns each class and its probability, for each instance, in the order of the version's labels."""
    return [list(zip(loaded.labels, answer[PROBABILITIES], strict=True)) for answer in outputs]


def numbers(loaded: LoadedVersion, outputs: Outputs) -> list[float]:
    """Returns the number that is the answer to each instance."""
    said = [loaded.kind.label(answer) for answer in outputs]
    return [float(value[0] if isinstance(value, list) else value) for value in said]


def _classifies(loaded: LoadedVersion, signature: str) -> bool:
    spec = loaded.output_specs[signature].get(PROBABILITIES)
    return spec is not None and spec.shape.rank == 2 and spec.shape[1] in (None, len(loaded.labels))


def _regresses(loaded: LoadedVersion, signature: str) -> bool:
    specs = loaded.output_specs[signature]
    said = [specs[name] for name in loaded.kind.said(specs) if name in specs]
    if len(said) != 1 or not (said[0].dtype.is_floating or said[0].dtype.is_integer):
        return False
    return said[0].shape.rank is not None and list(said[0].shape[1:]) in ([], [1])


PREDICT = Verb(
    "predict", read_request, lambda loaded, signature: True, lambda asked, loaded, outputs: reply(asked.form, outputs)
)
CLASSIFY = Verb(
    "classify", read_examples, _classifies, lambda asked, loaded, outputs: {"results": classified(loaded, outputs)}
)
REGRESS = Verb(
    "regress", read_examples, _regresses, lambda asked, loaded, outputs: {"results": numbers(loaded, outputs)}
)
VERBS = (PREDICT, CLASSIFY, REGRESS)
