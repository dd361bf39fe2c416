"""The body of a request → instances, and answers → the body of a reply, as TensorFlow Serving's REST has them."""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NoReturn

import numpy as np
from PIL import Image, UnidentifiedImageError

from progressive_tf.errors import listed
from progressive_tf.serving.batching import Asked
from progressive_tf.serving.limits import Limits, Refusal

DEFAULT = "serving_default"
ROWS, COLUMNS = "instances", "inputs"
_SHORTEST = 16
_IS = "number", "true or false"  # of values that are wanted

Instance = dict[str, np.ndarray]


@dataclass(frozen=True)
class InputSpec:
    """One input of a signature, for one instance.

    Args:
        dtype: of its values; object for strings.
        shape: without the batch; None for a length that is free.
        is_image: whether it is the file of an image.
    """

    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]
    is_image: bool = False

    def __str__(self) -> str:
        kind = "string" if self.dtype == object else str(self.dtype)
        return f"{kind} {['any' if size is None else size for size in self.shape]}" if self.shape else kind


Signatures = Mapping[str, Mapping[str, InputSpec]]


@dataclass(frozen=True)
class PredictRequest:
    """A prediction request, as a version reads it.

    Args:
        form: `instances` or `inputs`, which the reply follows.
        signature: its name.
        specs: the inputs of the signature, by name.
        instances: the values of each input, by name.
        read: reads the same as a version with other signatures does, of each the inputs by name; raises Refusal.
    """

    form: str
    signature: str
    specs: Mapping[str, InputSpec]
    instances: list[Instance]
    read: Callable[[Signatures], PredictRequest]

    @cached_property
    def asked(self) -> list[Asked]:
        """The instances, ready for a batch."""
        return [
            Asked(bucket_of(self.signature, given), length_of(given, self.specs), given) for given in self.instances
        ]

    def asked_of(self, signatures: Signatures) -> list[Asked]:
        """Returns what the same asks of a version with other signatures; raises Refusal where it asks nothing."""
        return self.asked if self.is_as_in(signatures) else self.read(signatures).asked

    def is_as_in(self, signatures: Signatures) -> bool:
        """Whether a version with other signatures reads the same alike."""
        return signatures.get(self.signature) == self.specs


def caller_key(body: Mapping[str, Any]) -> str | None:
    """Returns who asks, if the body says so; raises Refusal, 400, where the key is no string."""
    key = body.get("key")
    if key is not None and not isinstance(key, str):
        _refuse(f"key: a string expected; got {type(key).__name__}")
    return key


def read_request(body: Mapping[str, Any], signatures: Signatures, limits: Limits) -> PredictRequest:
    """Returns what a body asks for.

    Args:
        body: the JSON object; in its place, `inputs` may have arrays, and bytes for strings.
        signatures: the inputs of each signature, by name.
        limits: of what it may hold.

    Raises:
        Refusal: 400 or 413, with the place that is wrong.
    """
    unknown = next((given for given in body if given not in (ROWS, COLUMNS, "signature_name", "key")), None)
    if unknown is not None:
        _refuse(f"unknown key {unknown!r:.80}; known: {ROWS} or {COLUMNS}, signature_name, key")
    if (ROWS in body) == (COLUMNS in body):
        _refuse(f'exactly one of "{ROWS}" and "{COLUMNS}" expected; got {"both" if ROWS in body else "neither"}')
    name = signature_of(body, signatures)
    specs = signatures[name]
    try:
        rows = _rows(body[ROWS], specs, limits) if ROWS in body else _columns(body[COLUMNS], specs, limits)
    except Refusal as refusal:
        if refusal.status != 400:
            raise
        given = body.get(ROWS, body.get(COLUMNS))
        first = given[0] if isinstance(given, list) and given else given
        _refuse(f"{refusal}{better_signature(first, signatures)}")
    again = partial(read_request, body, limits=limits)
    return PredictRequest(
        ROWS if ROWS in body else COLUMNS, name, specs, instances_of(rows, specs, limits, ROWS), again
    )


def signature_of(body: Mapping[str, Any], signatures: Signatures) -> str:
    """Returns the name of the signature that a body asks for, the default one for an empty name or none; raises
    Refusal, 400, where there is none of that name.
    """
    name = body.get("signature_name", "")
    name = DEFAULT if name == "" else name
    if not isinstance(name, str) or name not in signatures:
        _refuse(f"signature_name: one of {', '.join(sorted(signatures))} expected; got {name!r:.80}")
    return name


def instances_of(
    rows: Sequence[Mapping[str, Any]], specs: Mapping[str, InputSpec], limits: Limits, place: str
) -> list[Instance]:
    """Returns instances from values by name.

    Args:
        rows: JSON-like, or arrays; each with all that `specs` names.
        specs: the inputs of the signature, by name.
        limits: of what they may hold.
        place: where rows stand, as messages call it.

    Raises:
        Refusal: 400 or 413, with the place that is wrong.
    """
    return [
        {given: _value(values[given], spec, f"{place}[{at}].{given}", limits) for given, spec in specs.items()}
        for at, values in enumerate(rows)
    ]


def better_signature(given: Any, signatures: Signatures) -> str:
    """Returns which signature takes the names of an object, in words behind a refusal; nothing where none does."""
    fitting = [name for name, specs in signatures.items() if isinstance(given, dict) and set(specs) == set(given)]
    return f'; "signature_name": "{fitting[0]}" takes these' if fitting else ""


def refuse_many(instances: Sequence[Any] | np.ndarray, limits: Limits) -> None:
    """Raises Refusal, 413, for more instances than a request may have."""
    if len(instances) > limits.instances:
        raise Refusal(413, f"{len(instances)} instances; at most {limits.instances} in one request")


def named(row: Any, specs: Mapping[str, InputSpec], place: str) -> dict[str, Any]:
    """Returns an object that has the inputs of a signature by name, as it is; raises Refusal, 400, for any other."""
    if not isinstance(row, dict):
        _refuse(f"{place}: an object with {listed(specs)} expected; got {type(row).__name__}")
    missing, unknown = [name for name in specs if name not in row], [name for name in row if name not in specs]
    if missing or unknown:
        wrong = f"missing {missing[0]!r}" if missing else f"unknown {unknown[0]!r:.80}"
        _refuse(f"{place}: {wrong}; expected {listed(specs)}")
    return row


def bucket_of(signature: str, instance: Instance) -> tuple[Any, ...]:
    """Returns what instances of one batch share: the signature and shapes."""
    return signature, tuple((name, value.shape) for name, value in sorted(instance.items()))


def length_of(instance: Instance, specs: Mapping[str, InputSpec]) -> int:
    """Returns the bytes of an instance's longest text, at least 16: nothing is gained by telling shorter ones apart.

    The file of an image may be as long as it likes: all are brought to one size.
    """
    texts = (value for name, value in instance.items() if value.dtype == object and not specs[name].is_image)
    return max([_SHORTEST, *(len(text) for value in texts for text in value.flat)])


def reply(form: str, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the outputs of each instance, JSON-like, in the form of the request: `instances`, a list of rows, or
    `inputs`, each output as a column.
    """
    names = list(answers[0]) if answers else []
    if form == ROWS:
        rows = [next(iter(outputs.values())) if len(names) == 1 else dict(outputs) for outputs in answers]
        return {"predictions": rows}
    columns = {name: [outputs[name] for outputs in answers] for name in names}
    return {"outputs": next(iter(columns.values())) if len(names) == 1 else columns}


def _rows(given: Any, specs: Mapping[str, InputSpec], limits: Limits) -> list[dict[str, Any]]:
    if not isinstance(given, list):
        _refuse(f"{ROWS}: a list expected; got {type(given).__name__}")
    refuse_many(given, limits)
    rows = []
    for place, row in enumerate(given):
        if len(specs) == 1 and not _is_named(row, specs):
            row = {next(iter(specs)): row}
        rows.append(named(row, specs, f"{ROWS}[{place}]"))
    return rows


def _columns(given: Any, specs: Mapping[str, InputSpec], limits: Limits) -> list[dict[str, Any]]:
    if len(specs) == 1 and not _is_named(given, specs):
        given = {next(iter(specs)): given}
    columns = named(given, specs, COLUMNS)
    for name, column in columns.items():
        if isinstance(column, np.ndarray) and not column.ndim:
            _refuse(f"{COLUMNS}.{name}: a row for each instance expected; got shape []")
        if not isinstance(column, list | np.ndarray):
            _refuse(f"{COLUMNS}.{name}: a list expected; got {type(column).__name__}")
        refuse_many(column, limits)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        _refuse(f"{COLUMNS}: as many values in each expected; got {lengths}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _is_named(value: Any, specs: Mapping[str, InputSpec]) -> bool:
    return isinstance(value, dict) and (set(value) != {"b64"} or "b64" in specs)


def _value(given: Any, spec: InputSpec, place: str, limits: Limits) -> np.ndarray:
    if spec.dtype == object:
        given = given.tolist() if isinstance(given, np.ndarray) else given
        _refuse_deeper(given, spec, place)
        flat, shape = _strings(given, spec, place, limits)
        value = np.empty(len(flat), object)
        value[:] = flat
        value = value.reshape(shape)
    else:
        value = _numbers(given, spec, place)
        # An encoder's memory grows with the square of it.
        if spec.shape == (None,) and spec.dtype.kind in "iu" and value.size > limits.tokens:
            raise Refusal(413, f"{place}: {value.size} tokens; at most {limits.tokens}")
    if len(value.shape) != len(spec.shape) or any(
        wanted is not None and wanted != size for wanted, size in zip(spec.shape, value.shape, strict=True)
    ):
        _refuse(f"{place}: {spec} expected; got shape {list(value.shape)}")
    if spec.is_image:
        _check_image(value.item(), place, limits)
    return value


def _refuse_deeper(given: Any, spec: InputSpec, place: str) -> None:
    """Refuses lists that no input has, before anybody walks them."""
    sizes, inside = [], given
    while isinstance(inside, list):
        sizes.append(len(inside))
        inside = inside[0] if inside else None
    if len(sizes) > len(spec.shape):
        _refuse(f"{place}: {spec} expected; got shape {sizes}")


def _strings(given: Any, spec: InputSpec, place: str, limits: Limits) -> tuple[list[bytes], tuple[int, ...]]:
    if isinstance(given, list):
        parts = [_strings(part, spec, place, limits) for part in given]
        if len({shape for _, shape in parts}) > 1:
            _refuse(f"{place}: lists of one length expected")
        inner = parts[0][1] if parts else ()
        return [text for texts, _ in parts for text in texts], (len(parts), *inner)
    text = _text(given, place)
    if len(text) > limits.text_bytes and not spec.is_image:
        raise Refusal(413, f"{place}: {len(text)} bytes of text; at most {limits.text_bytes}")
    return [text], ()


def _text(given: Any, place: str) -> bytes:
    if isinstance(given, bytes):
        return given
    if isinstance(given, dict) and set(given) == {"b64"} and isinstance(given["b64"], str):
        try:
            return base64.b64decode(given["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            _refuse(f"{place}: not base64: {error}")
    if not isinstance(given, str):
        _refuse(f'{place}: a string, or {{"b64": …}}, expected; got {type(given).__name__}')
    try:
        return given.encode("utf-8")
    except UnicodeEncodeError:
        _refuse(f"{place}: half of a surrogate pair is no character")


def _numbers(given: Any, spec: InputSpec, place: str) -> np.ndarray:
    is_flag = spec.dtype.kind == "b"
    # As objects first: numpy gives every value of a list the room of its longest string.
    kinds = set() if isinstance(given, np.ndarray | np.generic) else set(map(type, np.array(given, object).flat))
    if kinds & {list, dict} and isinstance(given, list):
        _refuse(f"{place}: {spec} expected; got lists of several lengths")
    if kinds - ({bool} if is_flag else {int, float}):
        _refuse(f"{place}: {spec} expected; got something that is no {_IS[is_flag]}")
    value = np.array(given)
    if value.size and value.dtype.kind not in ("b" if is_flag else "iuf"):
        what = (
            f"something that is no {_IS[is_flag]}"
            if isinstance(given, np.ndarray | np.generic)
            else "a number that is too large"
        )
        _refuse(f"{place}: {spec} expected; got {what}")
    if spec.dtype.kind in "iu":
        ends = np.iinfo(spec.dtype)
        if value.size and (value.dtype.kind == "f" or value.min() < ends.min or value.max() > ends.max):
            _refuse(f"{place}: whole numbers from {ends.min} to {ends.max} expected")
        return value.astype(spec.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        cast = value.astype(spec.dtype)
    if (np.isfinite(value) & ~np.isfinite(cast)).any():
        _refuse(f"{place}: a number is too large for {spec.dtype}")
    return cast


def _check_image(file: bytes, place: str, limits: Limits) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(file)) as image:
                width, height = image.size
    except Image.DecompressionBombError:
        width = height = limits.image_pixels
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        _refuse(f"{place}: no JPEG, PNG, GIF or BMP file")
    if width * height > limits.image_pixels:
        raise Refusal(413, f"{place}: {width} × {height} pixels; at most {limits.image_pixels} altogether")


def _refuse(message: str) -> NoReturn:
    raise Refusal(400, message)
