"""What an answer says, whatever the kind of the model, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TEXT = "translation"
# The first of these that an answer has is what it says. A translator that is given tokens answers with tokens.
_SAYS = ("label", "tags", "kind", TEXT, "tokens")
_PLACES = ("start", "end")


def label_of(outputs: Mapping[str, Any]) -> Any:
    """Returns what an answer says: a class, the tags of words, a text, or its tokens."""
    return next((outputs[name] for name in _SAYS if name in outputs), None)


def probabilities_of(outputs: Mapping[str, Any]) -> Sequence[float] | None:
    """Returns the probabilities of the classes; of a text the one that it has itself; None where there are none."""
    if "probabilities" in outputs:
        probabilities: Sequence[float] = outputs["probabilities"]
        return probabilities
    return [outputs["confidence"]] if "confidence" in outputs else None


def says_the_same(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether two answers say the same, spans with their places."""
    names = (*_SAYS, *_PLACES)
    return all(ours.get(name) == theirs.get(name) for name in names)
