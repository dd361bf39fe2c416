"""What a caller has to know to ask a version and to understand its answers, beside the types of inputs and outputs."""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from progressive_tf.models.preprocessing import INPUT_TOKENS, UNKNOWN_CELLS, USED_TOKENS, WINDOWS
from progressive_tf.plan.table_columns import argument_names
from progressive_tf.serving.instances import InputSpec, Instance
from progressive_tf.serving.metrics import ABSTAINED

TASK = "task"
_OUTPUTS = {
    "probabilities": "the probability of each class, in the order of labels",
    "label": "the most probable class",
    ABSTAINED: "true where label is not sure enough to be an answer: less probable than the threshold of the version",
    "start": "where each entity begins",
    "end": "where each entity ends, behind its last character or word",
    "kind": "what each entity is",
    "score": "the probability of an entity's least sure word",
    "count": "how many entities there are",
    "tags": "the tag of each word, one of labels",
    "translation": "the text that is written",
    "tokens": "the ids of the tokens that are written",
    "confidence": "the geometric mean of the probabilities of the tokens that are written",
    "is_whole": "false where the text was not written to its end, since max_target_length was too short for it",
    "unknown": "whether the input is like nothing that was learnt, its score being above the version's threshold",
    "unknown_score": "how unlike anything that was learnt the input is; the higher, the less like it",
    INPUT_TOKENS: "how many tokens the input has",
    USED_TOKENS: "how many of them were read; what is behind them had no part in the answer",
    WINDOWS: "in how many parts the input was read, whose words do not see one another",
    UNKNOWN_CELLS: "columns whose value says nothing: no number, which counts as missing, or a category never seen",
}

LABEL_BEFORE = "label_before"
_BEFORE = "what version {} would have called it; null for a class that is new, or was several"
_BY_COST = "the class with the least expected cost, by the costs that the version was released with"


def describe(
    manifest: Mapping[str, Any], inputs: Collection[str], outputs: Collection[str], tasks: bool
) -> dict[str, Any]:
    """Returns what the metadata of a version says beside its signatures, as JSON-like values.

    Args:
        manifest: of the version; one of an earlier release has fewer keys.
        inputs: their names, over all signatures.
        outputs: their names, over all signatures.
        tasks: whether a caller names a task.
    """
    labels = list(manifest.get("labels", ()))
    described: dict[str, Any] = {"labels": labels}
    if tasks:
        described["tasks"] = classes_by_task(labels)
    facts = dict(manifest.get("inputs") or {})
    if manifest.get("preprocessing"):
        facts["columns"] = _columns(manifest["preprocessing"], inputs)
    meanings = {name: _OUTPUTS[name] for name in _OUTPUTS if name in outputs}
    meanings |= {"label": _BY_COST} if manifest.get("costs") else {}
    return described | {"inputs": facts, "outputs": meanings}


def with_words_before(
    described: Mapping[str, Any], version: int, changed: Mapping[str, Sequence[str]], is_said: bool
) -> dict[str, Any]:
    """Returns a version's metadata with what became of the labels of an earlier version.

    Args:
        described: see `describe`.
        version: the earlier one.
        changed: each of its labels → what it is called now; several where it was split, none where it was retired.
        is_said: whether answers say what it would have called them.
    """
    outputs = dict(described["outputs"]) | ({LABEL_BEFORE: _BEFORE.format(version)} if is_said else {})
    words = {old: list(news) for old, news in changed.items()}
    return {**described, "outputs": outputs, "labels_before": {"version": str(version), "labels": words}}


def place_of(output: str) -> tuple[int, str]:
    """Returns what outputs are sorted by, so that the answer itself comes first."""
    names = list(_OUTPUTS)
    return (names.index(output) if output in names else len(names)), output


def classes_by_task(labels: Sequence[str]) -> dict[str, list[str]]:
    """Returns the classes of each task, as answers have them, from labels that are called `task/class`."""
    classes: dict[str, list[str]] = {}
    for label in labels:
        task, _, name = label.partition("/")
        classes.setdefault(task, []).append(name or label)
    return classes


def _columns(preprocessing: Mapping[str, Any], inputs: Collection[str]) -> list[dict[str, Any]]:
    """Returns each column of a table in the order in which a row of cells has them."""
    columns = preprocessing["columns"]
    numbers = zip(columns["numbers"], preprocessing["means"], preprocessing["variances"], strict=True)
    described: list[dict[str, Any]] = [
        {"name": name, "kind": "number", "mean": mean, "standard_deviation": math.sqrt(variance)}
        for name, mean, variance in numbers
    ]
    described += [
        {"name": name, "kind": "category", "values": list(values)}
        for name, values in zip(columns["categories"], preprocessing["vocabularies"], strict=True)
    ]
    described += [{"name": name, "kind": "hashed", "buckets": buckets} for name, buckets in columns["hashed"].items()]
    arguments = argument_names([column["name"] for column in described])
    return [
        column | ({"argument": argument} if argument in inputs else {})
        for column, argument in zip(described, arguments, strict=True)
    ]


_TEXT_BYTES = (8, 64, 512)


def examples(
    signatures: Mapping[str, Mapping[str, InputSpec]], labels: Sequence[str]
) -> Iterator[tuple[str, Instance]]:
    """Yields the name of each signature and an instance for it, of several lengths; a task, where one is asked for, is
    that of the first label.
    """
    for signature, specs in signatures.items():
        for length in _TEXT_BYTES:
            yield (signature, {name: _value(name, spec, length, labels) for name, spec in specs.items()})


def _value(name: str, spec: InputSpec, length: int, labels: Sequence[str]) -> np.ndarray:
    shape = tuple(length // 8 if size is None else size for size in spec.shape)
    if spec.dtype != object:
        return np.zeros(shape, spec.dtype)
    text = b"word " * (length // 5 + 1)
    if spec.is_image:
        stream = io.BytesIO()
        Image.new("RGB", (64, 64)).save(stream, "PNG")
        text = stream.getvalue()
    elif name == "task":
        text = labels[0].partition("/")[0].encode()
    value = np.empty(shape, object)
    value[...] = text
    return value
