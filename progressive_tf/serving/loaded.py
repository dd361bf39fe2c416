"""A version in memory: verified, loaded, warm, and able to answer batches."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  the tokenizer's operations
from google.protobuf.json_format import MessageToDict

from progressive_tf.registry.errors import RegistryError
from progressive_tf.registry.folder import MODEL_NAME, find_damage
from progressive_tf.registry.traffic import Schedule
from progressive_tf.registry.version import Version
from progressive_tf.serving.errors import Refusal
from progressive_tf.serving.examples import examples
from progressive_tf.serving.instances import InputSpec, Instance, bucket_of
from progressive_tf.serving.said import TEXT

_COUNT, _SPANS, _TAGS = "count", ("start", "end", "kind", "score"), "tags"
_MANY = 32


class LoadedVersion:
    """A version that can answer.

    Args:
        version: a registry's.

    Raises:
        RegistryError: its files are not those that were released, or TensorFlow cannot load them.
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
        self.labels = tuple(manifest.get("labels", ()))
        self.normalize_labels = manifest.get("normalize_labels")
        release = manifest.get("release")
        self.schedule = None if release is None else Schedule.of(release)
        self.signatures: Mapping[str, Mapping[str, InputSpec]] = {
            name: _inputs(signature) for name, signature in self._model.signatures.items()
        }
        self.writes = any(TEXT in signature.structured_outputs for signature in self._model.signatures.values())

    @property
    def number(self) -> int:
        """The version's number."""
        return self.version.number

    def answer(self, bucket: Hashable, instances: Sequence[Instance]) -> list[dict[str, Any] | Refusal]:
        """Returns the outputs of each instance as JSON-like values; one that the network refuses spoils no other.

        Args:
            bucket: what `bucket_of` gives for all of them.
            instances: at least one.
        """
        assert isinstance(bucket, tuple)
        signature = self._model.signatures[bucket[0]]
        try:
            given = {
                name: tf.constant(np.stack([each[name] for each in instances]), spec.dtype)
                for name, spec in signature.structured_input_signature[1].items()
            }
            outputs = {name: value.numpy() for name, value in signature(**given).items()}
        except tf.errors.InvalidArgumentError as error:
            if len(instances) > 1:
                return [answer for each in instances for answer in self.answer(bucket, [each])]
            said = error.message.partition("[[{{")[0].rpartition("<stack traces unavailable>")[2]
            return [Refusal(400, f"the model refuses it: {' '.join(said.split()):.400}")]
        return [_one_of(outputs, place) for place in range(len(instances))]

    def warm_up(self, most: int) -> None:
        """Answers made-up instances of several lengths and batch sizes, so that the first caller does not wait.

        Args:
            most: instances of the largest batch.
        """
        for signature, example in examples(self.signatures, self.labels):
            for size in self.warm_up_sizes(most):
                self.answer(bucket_of(signature, example), [example] * size)

    def warm_up_sizes(self, most: int = _MANY) -> list[int]:
        """Returns how many instances the batches of a warm-up have.

        A translator's are of one: more of them take as many times as long, on two cores minutes for a T5-small, and
        make nothing faster.

        Args:
            most: instances of the largest batch.
        """
        return [1] if self.writes else sorted({1, most})

    def metadata(self) -> dict[str, Any]:
        """Returns the signatures as TensorFlow Serving's GetModelMetadata has them."""
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

        saved = SavedModel.FromString((self.version.folder / MODEL_NAME).read_bytes())
        signatures = {
            name: MessageToDict(signature, preserving_proto_field_name=True)
            for name, signature in saved.meta_graphs[0].signature_def.items()
            if name in self.signatures
        }
        return {
            "model_spec": {"name": self.version.model, "signature_name": "", "version": str(self.number)},
            "metadata": {"signature_def": {"signature_def": signatures}},
        }


def _inputs(signature: Any) -> dict[str, InputSpec]:
    return {
        name: InputSpec(np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape[1:]))
        for name, spec in signature.structured_input_signature[1].items()
    }


def _one_of(outputs: Mapping[str, np.ndarray], place: int) -> dict[str, Any]:
    """Returns one instance's part; what a tagger filled up to the length of others in the batch is cut off."""
    found = {name: _plain(value[place]) for name, value in outputs.items()}
    if _COUNT in found:
        found |= {name: found[name][: found[_COUNT]] for name in _SPANS if name in found}
        while found.get(_TAGS) and not found[_TAGS][-1]:
            found[_TAGS].pop()
    return found


def _plain(value: Any) -> Any:
    found = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    return _decoded(found)


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
