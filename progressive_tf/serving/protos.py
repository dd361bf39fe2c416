"""TensorFlow Serving's messages → what is asked, as JSON has it but with arrays and bytes; and answers → messages."""

from __future__ import annotations

import base64
import math
from collections.abc import Collection, Mapping, MutableSequence, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.classification_pb2 import ClassificationResponse
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.regression_pb2 import RegressionResponse

from progressive_tf.errors import listed
from progressive_tf.serving.examples import CONTEXT, EXAMPLES
from progressive_tf.serving.instances import COLUMNS
from progressive_tf.serving.limits import Limits, Refusal
from progressive_tf.serving.predict_routes import Answered
from progressive_tf.serving.verbs import PREDICTION_ID, classified, numbers

_MOST_AXES = 32  # as many as NumPy's arrays have


def body_of_tensors(request: PredictRequest, known: Collection[str], limits: Limits) -> dict[str, Any]:
    """Returns what a request to predict asks: each input as an array whose first axis is the instances.

    Args:
        request: the message.
        known: the names of inputs that any version has.
        limits: of what it may hold.

    Raises:
        Refusal: 400 or 413, for more inputs or values than there may be, and for a tensor that is none, or is larger
            than a body may be.
    """
    _refuse_more_names(request.inputs, known, COLUMNS)
    _refuse_more_values(sum(map(_values_of_tensor, request.inputs.values())), limits)
    arrays = {name: _array(tensor, f"{COLUMNS}.{name:.80}", limits) for name, tensor in request.inputs.items()}
    return {COLUMNS: arrays, "signature_name": request.model_spec.signature_name}


def body_of_examples(request: Any, known: Collection[str], limits: Limits) -> dict[str, Any]:
    """Returns what a request to classify or to regress asks: lists of features by name.

    Args:
        request: the message.
        known: the names of inputs that any version has.
        limits: of what it may hold.

    Raises:
        Refusal: 400 or 413, for more examples, features or values than there may be.
    """
    shared = request.input.WhichOneof("kind") == "example_list_with_context"
    given = request.input.example_list_with_context if shared else request.input.example_list
    if len(given.examples) > limits.instances:
        raise Refusal(413, f"{len(given.examples)} instances; at most {limits.instances} in one request")
    places = [(example, f"{EXAMPLES}[{at}]") for at, example in enumerate(given.examples)]
    places += [(given.context, CONTEXT)] if shared else []
    for example, place in places:
        _refuse_more_names(example.features.feature, known, place)
    _refuse_more_values(sum(_values_of_example(example) for example, _ in places), limits)
    body = {
        EXAMPLES: [_features(example) for example in given.examples],
        "signature_name": request.model_spec.signature_name,
    }
    return body | ({CONTEXT: _features(given.context)} if shared else {})


def predicted(answered: Answered, wanted: Collection[str] = ()) -> PredictResponse:
    """Returns the reply with the outputs of all instances as tensors, and the ids for feedback as `prediction_id`,
    unless the version has an output of that name itself.

    Args:
        answered: what is answered; lists of an output that differ in length are filled up with 0 or "".
        wanted: names of the outputs that the reply has; none for all.
    """
    specs = dict(answered.loaded.output_specs[answered.asked.signature])
    specs |= {
        name: tf.TensorSpec([None], tf.string) for outputs in answered.outputs for name in set(outputs) - set(specs)
    }
    columns = {name: [outputs[name] for outputs in answered.outputs] for name in specs}
    if PREDICTION_ID not in specs:
        specs[PREDICTION_ID], columns[PREDICTION_ID] = tf.TensorSpec([None], tf.string), answered.ids
    response = PredictResponse(model_spec=_model_spec(answered))
    for name, spec in specs.items():
        if not wanted or name in wanted:
            response.outputs[name].CopyFrom(_tensor(columns[name], spec))
    return response


def classes(answered: Answered) -> ClassificationResponse:
    """Returns the reply with each class and its probability, of each instance."""
    response = ClassificationResponse(model_spec=_model_spec(answered))
    for scores in classified(answered.loaded, answered.outputs):
        instance = response.result.classifications.add()
        for label, score in scores:
            instance.classes.add(label=label, score=score)
    return response


def regressions(answered: Answered) -> RegressionResponse:
    """Returns the reply with the number of each instance."""
    response = RegressionResponse(model_spec=_model_spec(answered))
    for value in numbers(answered.loaded, answered.outputs):
        response.result.regressions.add(value=value)
    return response


def _model_spec(answered: Answered) -> ModelSpec:
    version = answered.loaded.version
    spec = ModelSpec(name=version.model, signature_name=answered.asked.signature)
    spec.version.value = version.number
    return spec


def _refuse_more_names(given: Mapping[str, Any], known: Collection[str], place: str) -> None:
    """Raises Refusal, 400, for more names than any version knows; which of them a version takes it says itself."""
    if len(given) > len(known):
        unknown = next(name for name in given if name not in known)
        raise Refusal(400, f"{place}: {len(given)} names, among them {unknown!r:.80}; known: {listed(sorted(known))}")


def _refuse_more_values(values: int, limits: Limits) -> None:
    if values > limits.values:
        raise Refusal(413, f"{values} values, names among them; at most {limits.values}")


def _values_of_tensor(tensor: Any) -> int:
    """Returns how many values a tensor lists, which are read one by one, and its name; those in `tensor_content` are
    read at once.
    """
    return 1 + sum(len(values) for _, values in tensor.ListFields() if isinstance(values, MutableSequence))


def _values_of_example(example: Any) -> int:
    kinds = ((feature, feature.WhichOneof("kind")) for feature in example.features.feature.values())
    return sum(1 + (len(getattr(feature, kind).value) if kind else 0) for feature, kind in kinds)


def _features(example: Any) -> dict[str, list[Any]]:
    found = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value) if kind else []
    return found


def _array(tensor: Any, place: str, limits: Limits) -> np.ndarray:
    """Returns the array in a tensor's message, which may say of a few values that they fill a large shape."""
    try:
        dtype = tf.dtypes.as_dtype(tensor.dtype)
    except TypeError:
        raise Refusal(400, f"{place}: a tensor with a type expected; got {tensor.dtype}") from None
    rank = len(tensor.tensor_shape.dim)
    if rank > _MOST_AXES:
        raise Refusal(400, f"{place}: a shape of at most {_MOST_AXES} axes expected; got {rank}")
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise Refusal(400, f"{place}: a shape without unknown sizes expected; got {shape}")
    is_string = dtype == tf.string
    if not (is_string or dtype.is_bool or dtype.is_integer or dtype.is_floating):
        raise Refusal(400, f"{place}: numbers, strings or bool expected; got {dtype.name}")
    count = math.prod(shape)
    if not is_string and count * dtype.size > limits.body_bytes:
        raise Refusal(413, f"{place}: shape {shape} is more than {limits.body_bytes} bytes")
    if is_string and count != len(tensor.string_val):
        raise Refusal(400, f"{place}: {count} strings for shape {shape} expected; got {len(tensor.string_val)}")
    if tensor.int_val and not dtype.is_integer:
        raise Refusal(400, f"{place}: int_val is not expected with type {dtype.name}")
    if tensor.int_val and not dtype.min <= min(tensor.int_val) <= max(tensor.int_val) <= dtype.max:
        raise Refusal(400, f"{place}: whole numbers from {dtype.min} to {dtype.max} expected")
    try:
        return tf.make_ndarray(tensor)
    except (TypeError, ValueError, OverflowError) as error:
        raise Refusal(400, f"{place}: no tensor of shape {shape} and type {dtype.name}: {error}") from None


def _tensor(values: Sequence[Any], spec: tf.TensorSpec) -> Any:
    """Returns the values of all instances, JSON-like, as one tensor."""
    dtype = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
    inner = [size or 0 for size in spec.shape.as_list()[1:]] if spec.shape.rank else []
    arrays = [_with_rank(np.array(_bytes(value) if dtype is object else value, dtype), len(inner)) for value in values]
    if arrays:
        inner = np.max([array.shape for array in arrays], axis=0).astype(int).tolist()
    filled = np.full((len(arrays), *inner), b"" if dtype is object else 0, dtype)
    for at, array in enumerate(arrays):
        place = (at, *map(slice, array.shape))
        filled[place] = array[()]  # of a single string the string, which NumPy would else keep as an array
    return tf.make_tensor_proto(filled, spec.dtype, filled.shape)


def _with_rank(array: np.ndarray, rank: int) -> np.ndarray:
    """Returns an empty list as the array without values that it stands for where lists are in one another."""
    return array if array.ndim == rank else array.reshape(array.shape + (0,) * (rank - array.ndim))


def _bytes(value: Any) -> Any:
    """Returns strings of JSON-like values as bytes."""
    if isinstance(value, list):
        return [_bytes(part) for part in value]
    if isinstance(value, Mapping):
        return base64.b64decode(value["b64"])
    return b"" if value is None else value.encode("utf-8")
