"""A version in memory: verified, loaded, warm, and able to answer batches."""

from __future__ import annotations

import base64
import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  the tokenizer's operations
from google.protobuf.json_format import MessageToDict

from progressive_tf.data.kinds import INPUT_KINDS, InputKind
from progressive_tf.models.preprocessing import INPUT_TOKENS, UNKNOWN_CELLS
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.plan.tasks import input_kind_of_version, task_of_version
from progressive_tf.registry.errors import RegistryError
from progressive_tf.registry.folder import MODEL_NAME, find_damage
from progressive_tf.registry.version import Version
from progressive_tf.serving.answers import served_answers
from progressive_tf.serving.described import TASK, describe, examples, place_of
from progressive_tf.serving.instances import DEFAULT, InputSpec, Instance, bucket_of
from progressive_tf.serving.limits import Refusal

_MANY = 32
_BYTES = "_bytes"  # with which the names of outputs end that are bytes and no text, as TensorFlow Serving has it


class RefusedByVersion(Refusal):
    """What the network itself refuses. Whether that is the caller's fault is known once another version was asked."""


class LoadedVersion:
    """A version of a registry that can answer.

    Raises RegistryError where its files are not those that were released, or TensorFlow cannot load them.
    """

    def __init__(self, version: Version) -> None:
        damage = find_damage(version.folder, version.number, version.manifest_sha256)
        if damage:
            first = f"{damage[0].file or 'its folder'} {damage[0].problem}"
            raise RegistryError(f"{version.model} version {version.number} is damaged ({first})")
        try:
            self._model = tf.saved_model.load(str(version.folder))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise RegistryError(f"{version.model} version {version.number} does not load: {error}") from error
        self.version = version
        manifest = version.manifest() or {}
        self.manifest = manifest
        self.labels = tuple(manifest.get("labels", ()))
        self.normalize_labels = manifest.get("normalize_labels")
        release = manifest.get("release")
        self.schedule = None if release is None else ReleaseSchedule.of_version(release)
        asked = {
            name for signature in self._model.signatures.values() for name in signature.structured_input_signature[1]
        }
        self.kind = served_answers(task_of_version(manifest, asked).answers)
        self.input_kind = INPUT_KINDS[input_kind_of_version(manifest, asked)]
        self.signatures: Mapping[str, Mapping[str, InputSpec]] = {
            name: _inputs(signature, self.input_kind) for name, signature in self._model.signatures.items()
        }
        self.output_specs: Mapping[str, Mapping[str, tf.TensorSpec]] = {
            name: {
                output: signature.structured_outputs[output]
                for output in sorted(signature.structured_outputs, key=place_of)
            }
            for name, signature in self._model.signatures.items()
        }
        self.outputs = {name for specs in self.output_specs.values() for name in specs}
        self.has_tasks = TASK in self.signatures.get(DEFAULT, {})

    @property
    def number(self) -> int:
        """The version's number."""
        return self.version.number

    @property
    def caution(self) -> str:
        """What an operator has to know of it, in words behind a sentence; mostly nothing."""
        if not self.input_kind.is_text or INPUT_TOKENS in self.outputs:
            return ""
        return "; it does not say how much of a text it reads, so that texts that it cuts are not counted"

    def answer(self, bucket: Hashable, instances: Sequence[Instance]) -> list[dict[str, Any] | Refusal]:
        """Returns the outputs of each instance as JSON-like values, bytes as TensorFlow Serving's REST has them; one
        that the network refuses, or to which it has no numbers, spoils no other.

        Args:
            bucket: what `bucket_of` gives for all of them.
            instances: at least one.
        """
        assert isinstance(bucket, tuple)
        signature = self._model.signatures[bucket[0]]
        try:
            given = {
                name: tf.constant(np.stack([instance[name] for instance in instances]), spec.dtype)
                for name, spec in signature.structured_input_signature[1].items()
            }
            given_back = signature(**given)
            outputs = {name: _usual(given_back[name].numpy()) for name in self.output_specs[bucket[0]]}
        except tf.errors.InvalidArgumentError as error:
            if len(instances) > 1:
                return [answer for instance in instances for answer in self.answer(bucket, [instance])]
            message = error.message.partition("[[{{")[0].rpartition("<stack traces unavailable>")[2]
            return [RefusedByVersion(400, f"the model refuses it: {' '.join(message.split()):.400}")]
        unusable = {
            name: ~np.isfinite(value.reshape(len(instances), -1)).all(axis=1)
            for name, value in outputs.items()
            if value.dtype.kind in "fc" and self.kind.must_be_finite(name)
        }
        bad = [[name for name, is_bad in unusable.items() if is_bad[place]] for place in range(len(instances))]
        return [
            _not_finite(names, instances[place]) if names else self._one_of(outputs, place)
            for place, names in enumerate(bad)
        ]

    def warm_up(self, most: int) -> None:
        """Answers made-up instances of several lengths, one alone and the `most` of a batch, so that the first caller
        does not wait.

        Raises:
            RegistryError: it gives no finite numbers for these, or what is no JSON.
        """
        for signature, example in examples(self.signatures, self.labels):
            for size in self.warm_up_sizes(most):
                for answer in self.answer(bucket_of(signature, example), [example] * size):
                    self._refuse_unusable(answer)

    def _refuse_unusable(self, answer: Mapping[str, Any] | Refusal) -> None:
        which = f"{self.version.model} version {self.number}"
        if isinstance(answer, RefusedByVersion):
            return  # a made-up input need not be one that a version takes
        if isinstance(answer, Refusal):
            raise RegistryError(f"{which} is of no use for a made-up input: {answer.message}")
        try:
            json.dumps([answer, self.labels], ensure_ascii=False).encode()
        except (TypeError, ValueError) as error:
            raise RegistryError(f"{which} gives an answer that cannot be written as JSON: {error}") from None

    def warm_up_sizes(self, most: int = _MANY) -> list[int]:
        """Returns how many instances the batches of a warm-up have: one, and `most` where that takes little longer.

        A T5-small takes minutes for many on two cores, and nothing becomes faster.
        """
        return sorted({1, most}) if self.kind.in_batches else [1]

    def signature_defs(self) -> dict[str, Any]:
        """Returns the `SignatureDef` of each signature, by name, as the SavedModel has them."""
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

        saved = SavedModel.FromString((self.version.folder / MODEL_NAME).read_bytes())
        found = saved.meta_graphs[0].signature_def
        return {name: found[name] for name in found if name in self.signatures}

    def metadata(self) -> dict[str, Any]:
        """Returns the signatures as TensorFlow Serving's GetModelMetadata has them, and beside them what they mean."""
        inputs = {name for specs in self.signatures.values() for name in specs}
        signatures = {
            name: MessageToDict(signature, preserving_proto_field_name=True)
            for name, signature in self.signature_defs().items()
        }
        return {
            "model_spec": {"name": self.version.model, "signature_name": "", "version": str(self.number)},
            "metadata": {"signature_def": {"signature_def": signatures}},
            **describe(self.manifest, inputs, self.outputs, self.has_tasks),
        }

    def _one_of(self, outputs: Mapping[str, np.ndarray], place: int) -> dict[str, Any]:
        answer = {name: _plain(value[place], name.endswith(_BYTES)) for name, value in outputs.items()}
        if UNKNOWN_CELLS in answer:
            answer[UNKNOWN_CELLS] = [name for name in answer[UNKNOWN_CELLS] if name]
        return self.kind.trimmed(answer)


def _not_finite(names: Sequence[str], instance: Instance) -> Refusal:
    said = f"the version gives no finite number in {', '.join(names)}"
    if all(np.isfinite(value).all() for value in instance.values() if value.dtype.kind == "f"):
        return Refusal(500, f"{said}; it is wrong, and not your input")
    return RefusedByVersion(400, f"{said}, as your input has NaN or infinity; send finite numbers")


def _inputs(signature: Any, kind: InputKind) -> dict[str, InputSpec]:
    specs = {}
    for name, spec in signature.structured_input_signature[1].items():
        is_file = kind.is_file and name != TASK and spec.dtype == tf.string
        specs[name] = InputSpec(np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape[1:]), is_image=is_file)
    return specs


def _usual(value: np.ndarray) -> np.ndarray:
    """Returns numbers of a type that numpy has not, such as bfloat16, as float32."""
    return value.astype(np.float32) if value.dtype.kind == "V" else value


def _plain(value: Any, is_binary: bool) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(part, is_binary) for part in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if is_binary else value.decode("utf-8", "replace")
    return value
