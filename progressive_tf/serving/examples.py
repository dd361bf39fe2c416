"""Examples → instances, as TensorFlow Serving's `:classify` and `:regress` have them: features by name, each a list."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from progressive_tf.serving.fields import refuse_unknown
from progressive_tf.serving.instances import (
    InputSpec,
    PredictRequest,
    Signatures,
    better_signature,
    instances_of,
    named,
    refuse_many,
    signature_of,
)
from progressive_tf.serving.limits import Limits, Refusal

EXAMPLES, CONTEXT = "examples", "context"


def read_examples(body: Mapping[str, Any], signatures: Signatures, limits: Limits) -> PredictRequest:
    """Returns what a body asks for: an instance for each example.

    Args:
        body: `examples`, each with a value or a list of values for a feature, and perhaps `context`, the features that
            all of them share; JSON-like, or with bytes for texts.
        signatures: the inputs of each signature, by name. A feature is called as its input is.
        limits: of what it may hold.

    Raises:
        Refusal: 400 or 413, with the place that is wrong.
    """
    refuse_unknown(body, (EXAMPLES, CONTEXT, "signature_name", "key"))
    name = signature_of(body, signatures)
    specs, context, examples = signatures[name], body.get(CONTEXT, {}), body.get(EXAMPLES)
    if not isinstance(context, dict):
        raise Refusal(400, f"{CONTEXT}: an object with features expected; got {type(context).__name__}")
    if not isinstance(examples, list) or not examples:
        raise Refusal(400, f'"{EXAMPLES}": a list with at least one example expected')
    refuse_many(examples, limits)
    rows = []
    for at, example in enumerate(examples):
        place = f"{EXAMPLES}[{at}]"
        if isinstance(example, dict):
            if twice := sorted(set(context) & set(example)):
                raise Refusal(400, f"{place}.{twice[0]:.80}: is in {CONTEXT} too; write it in one of the two")
            example = context | example
        try:
            row = named(example, specs, place)
        except Refusal as refusal:
            raise Refusal(400, f"{refusal}{better_signature(example, signatures)}") from None
        rows.append({given: _shaped(value, specs[given], f"{place}.{given}") for given, value in row.items()})
    again = partial(read_examples, body, limits=limits)
    return PredictRequest(EXAMPLES, name, specs, instances_of(rows, specs, limits, EXAMPLES), again)


def _shaped(value: Any, spec: InputSpec, place: str) -> Any:
    """Returns the values of a feature, in which one value and a list of it are the same, as an input has them."""
    if len(spec.shape) > 1:
        raise Refusal(400, f"{place}: {spec} expected, and a feature is a flat list; use :predict")
    if spec.shape:
        return value if isinstance(value, list) else [value]
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    return value
