"""Raw inputs of any kind → what an exported version answers, as a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_text  # noqa: F401  the tokenizer's operations

from progressive_tf.data.cells import cell_text
from progressive_tf.errors import InputError, listed, unknown_name
from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics
from progressive_tf.plan.tasks import input_kind_of_version, task_of_version
from progressive_tf.scoring.unread import NOTES, Unread
from progressive_tf.training.answers.base import DEFAULT, GENERATE, TOKENS

PIXELS = "pixels"
SPAN_COLUMNS = ["input", "kind", "words", "start", "end", "score"]
TEXT_COLUMNS = ["text", "translation", "confidence"]

Rows = Sequence[Any] | np.ndarray
Reading = tuple[str, Rows, Callable[[Rows], tf.Tensor]]


@dataclass(frozen=True)
class Asked:
    """What a version is asked.

    Attributes:
        inputs: raw, of the kind that it reads.
        task: of all inputs or of each, for a version with tasks.
        batch_size: how many at once.
        unread: counts what it does not read of them.
    """

    inputs: Any
    task: str | Sequence[str] | None
    batch_size: int
    unread: Unread


class Predictor:
    """A version, loaded, that answers raw inputs with a table.

    Args:
        folder: the version's.
        manifest: content of its manifest.json.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self._model = tf.saved_model.load(str(folder))  # the signatures do not keep its variables alive
        self._signatures: Mapping[str, Any] = self._model.signatures
        inputs = self._signatures[DEFAULT].structured_input_signature[1]
        self._has_tasks = "task" in inputs
        self._spec = next(spec for name, spec in inputs.items() if name != "task")
        self._labels = list(manifest["labels"])
        learnt = manifest.get("preprocessing")
        self._statistics = ColumnStatistics.from_json(learnt) if learnt else None
        self._task, self._kind = task_of_version(manifest, inputs), input_kind_of_version(manifest, inputs)

    @property
    def reads(self) -> str:
        """The name of the kind of inputs that it reads, as in `INPUT_KINDS`."""
        return self._kind

    @property
    def gives(self) -> str:
        """The name of the kind of its answers."""
        return self._task.answers.name

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads of a table; none of other inputs."""
        return self._statistics.columns.names if self._statistics is not None else ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, or the tags of words, that it answers with; none where it writes texts."""
        return tuple(self._labels)

    @property
    def width(self) -> int | None:
        """How many numbers a row has that it reads; None for other inputs."""
        return self._spec.shape[-1] if self._spec.shape.rank > 1 and not self.columns else None

    @property
    def has_tasks(self) -> bool:
        """Whether every input needs the name of a task."""
        return self._has_tasks

    def answer(
        self, inputs: Any, task: str | Sequence[str] | None, batch_size: int, unread: Unread | None = None
    ) -> pd.DataFrame:
        """Returns a row for each input, or for each span that a tagger finds.

        A row has the input's class, or the text that is written for it. A warning says where a part of an input was not
        read, unless that is counted in `unread`.

        Raises:
            InputError: inputs that the model does not read, or tasks it does not have.
        """
        asked = Asked(inputs, task, batch_size, Unread() if unread is None else unread)
        answered = TABLES.get(self.gives, Predictor.outputs)(self, asked)
        if unread is None:
            asked.unread.warn()
        return answered

    def _of_rows(self, asked: Asked) -> dict[str, np.ndarray]:
        """Returns the outputs of all rows that are as wide in each, by name; nothing where there are no rows."""
        name, rows, tensor = self._read(asked.inputs)
        tasks = self._tasks(asked.task, len(rows))
        order, parts = _by_length(rows), []
        for begin in range(0, len(rows), asked.batch_size):
            batch = order[begin : begin + asked.batch_size]
            given = {self._spec.name if name == DEFAULT else name: tensor(_taken(rows, batch))}
            if tasks is not None:
                given["task"] = tf.constant(_taken(tasks, batch))
            try:
                parts.append(asked.unread.note(self._signatures[name](**given)))
            except tf.errors.InvalidArgumentError as error:
                message = error.message.partition("[[{{")[0].rpartition("<stack traces unavailable>")[2]
                message = " ".join(message.split())
                several = ", ".join(map(str, np.sort(batch)))
                which = f"inputs[{several}]" if len(batch) == 1 else f"one of inputs {several}"
                raise InputError(f"{which}: refused: {message:.400}") from None
        back = np.argsort(order)
        names = [name for name in (parts[0] if parts else ()) if name not in NOTES]
        return {name: np.concatenate([part[name].numpy() for part in parts])[back] for name in names}

    def outputs(self, asked: Asked) -> pd.DataFrame:
        """Returns a row for each input, with a column for each output that is one value a row."""
        return pd.DataFrame({name: values for name, values in self._of_rows(asked).items() if values.ndim == 1})

    def classes(self, asked: Asked) -> pd.DataFrame:
        """Returns a row for each input: its class, what else the version says of it, and each class' probability."""
        found = self._of_rows(asked)
        labels = [label.decode() for label in found.get("label", ())]
        probabilities = found.get("probabilities", np.zeros([0, len(self._labels)]))
        columns = {f"probability/{label}": probabilities[:, index] for index, label in enumerate(self._labels)}
        further = {name: values for name, values in found.items() if values.ndim == 1 and name != "label"}
        return pd.DataFrame({"label": pd.Series(labels, dtype=object), **further, **columns})

    def _tasks(self, task: str | Sequence[str] | None, rows: int) -> list[str] | None:
        if not self._has_tasks:
            if task is not None:
                raise InputError("task: this version has no tasks; leave it out")
            return None
        known = list(dict.fromkeys(label.partition("/")[0] for label in self._labels))
        if task is None:
            raise InputError(f"task: this version has tasks; name that of each input, one of {listed(known)}")
        tasks = [task] * rows if isinstance(task, str) else list(task)
        if len(tasks) != rows:
            raise InputError(f"task: {len(tasks)} given for {rows} inputs; give one for each, or one for all")
        for name in tasks:
            if name not in known:
                raise InputError(unknown_name("task", name, known))
        return tasks

    def _read(self, inputs: Any) -> Reading:
        """Returns the signature that reads such inputs, the inputs one by one, and what makes a tensor of some."""
        return {"columns": self._read_cells, "vectors": self._read_numbers, "images": self._read_images}.get(
            self._kind, _read_texts
        )(inputs)

    def _read_cells(self, inputs: Any) -> Reading:
        assert self._statistics is not None
        width = len(self._statistics.columns.names)
        cells = list(_cells(inputs, self._statistics))
        return DEFAULT, cells, lambda rows: tf.constant(rows, tf.string, [len(rows), width])

    def _read_numbers(self, inputs: Any) -> Reading:
        return DEFAULT, _numbers(inputs, self._spec), lambda rows: tf.constant(rows, self._spec.dtype)

    def _read_images(self, inputs: Any) -> Reading:
        if isinstance(inputs, np.ndarray) and inputs.dtype != object:
            return PIXELS, _pixels(inputs, not self._has_tasks), lambda rows: tf.constant(rows, tf.uint8)
        return DEFAULT, _files(inputs), lambda rows: tf.constant(rows, tf.string)

    def written(self, asked: Asked) -> pd.DataFrame:
        """Returns a row for each text: the text that is written for it, and how sure that is."""
        self._tasks(asked.task, 0)
        texts = _texts(asked.inputs)
        written, confidence = [""] * len(texts), np.zeros(len(texts), np.float32)
        # Texts of about the same length stand together: each is read, and written for, as long as a batch's longest.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for begin in range(0, len(order), asked.batch_size):
            batch = order[begin : begin + asked.batch_size]
            given = [texts[index].encode("utf-8", "surrogatepass") for index in batch]
            answer = asked.unread.note(self._signatures[GENERATE](text=tf.constant(given, tf.string)))
            confidence[batch] = answer["confidence"].numpy()
            for index, text in zip(batch, answer["translation"].numpy().tolist(), strict=True):
                written[index] = text.decode("utf-8", "ignore")
        columns = (pd.Series(texts, dtype=object), pd.Series(written, dtype=object), confidence)
        return pd.DataFrame(dict(zip(TEXT_COLUMNS, columns, strict=True)))

    def spans(self, asked: Asked) -> pd.DataFrame:
        """Returns a row for each span that is found in a text or a list of words."""
        self._tasks(asked.task, 0)
        single = isinstance(asked.inputs, str)
        given = [asked.inputs] if single else _listed(asked.inputs, "texts, or lists of words")
        of_words = bool(given) and not isinstance(given[0], str)
        rows = [_words(words, index) for index, words in enumerate(given)] if of_words else _texts(given)
        spans: list[tuple[Any, ...]] = []
        for begin in range(0, len(rows), asked.batch_size):
            batch = rows[begin : begin + asked.batch_size]
            if of_words:
                longest = max(map(len, batch))
                padded = [[*words, *[""] * (longest - len(words))] for words in batch]
                answer = self._signatures[TOKENS](tokens=tf.constant(padded, tf.string, [len(batch), longest]))
            else:
                answer = self._signatures[DEFAULT](text=tf.constant(batch, tf.string))
            asked.unread.note(answer)
            of_batch = {name: answer[name].numpy() for name in ("start", "end", "kind", "score", "count")}
            for index, row in enumerate(batch):
                for place in range(of_batch["count"][index]):
                    start, end = int(of_batch["start"][index, place]), int(of_batch["end"][index, place])
                    words = " ".join(row[start:end]) if of_words else row[start:end]
                    kind, score = of_batch["kind"][index, place].decode(), float(of_batch["score"][index, place])
                    spans.append((begin + index, kind, words, start, end, score))
        return pd.DataFrame(spans, columns=SPAN_COLUMNS)


TABLES: dict[str, Callable[[Predictor, Asked], pd.DataFrame]] = {
    "classes": Predictor.classes,
    "tags": Predictor.spans,
    "texts": Predictor.written,
}
"""By the name of a kind of answer: what makes its table; of another kind it is `Predictor.outputs`."""


def _by_length(rows: Rows) -> np.ndarray:
    """Returns the order, int64 [rows], in which texts of about the same length stand together; others stay."""
    is_text = bool(len(rows)) and isinstance(rows[0], str)
    return np.argsort([len(row) for row in rows], kind="stable") if is_text else np.arange(len(rows))


def _taken(rows: Rows, places: np.ndarray) -> Rows:
    return rows[places] if isinstance(rows, np.ndarray) else [rows[place] for place in places.tolist()]


def _listed(inputs: Any, expected: str) -> list[Any]:
    if isinstance(inputs, Mapping | bytes) or not hasattr(inputs, "__iter__"):
        raise InputError(f"inputs: this version reads {expected}; got {type(inputs).__name__}")
    return list(inputs)


def _read_texts(inputs: Any) -> Reading:
    return DEFAULT, _texts(inputs), lambda rows: tf.constant(rows, tf.string)


def _texts(inputs: Any) -> list[str]:
    texts = [inputs] if isinstance(inputs, str) else _listed(inputs, "texts: a string, or several")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"inputs[{index}]: this version reads texts; got {type(text).__name__} {text!r:.60}")
    return texts


def _words(words: Any, index: int) -> list[str]:
    listed = None if isinstance(words, str) or not hasattr(words, "__iter__") else list(words)
    if listed is None or not all(isinstance(word, str) and word for word in listed):
        raise InputError(f"inputs[{index}]: a list of words expected, none of them empty; got {words!r:.60}")
    return listed


def _files(inputs: Any) -> list[bytes]:
    single = isinstance(inputs, str | bytes | os.PathLike)
    expected = "images: paths, the bytes of files, or uint8 [batch, height, width, 3]"
    return [_file(image, index) for index, image in enumerate([inputs] if single else _listed(inputs, expected))]


def _file(given: Any, index: int) -> bytes:
    if isinstance(given, bytes):
        return given
    if not isinstance(given, str | os.PathLike):
        raise InputError(f"inputs[{index}]: the path or the bytes of an image expected; got {type(given).__name__}")
    try:
        return Path(given).read_bytes()
    except OSError as error:
        raise InputError(f"inputs[{index}]: {os.fspath(given)}: cannot be read: {error.strerror}") from None


def _pixels(inputs: np.ndarray, readable: bool) -> np.ndarray:
    if not readable:
        raise InputError("inputs: a version with tasks reads the files of images, not pixels; give paths or bytes")
    if inputs.dtype != np.uint8 or inputs.ndim != 4 or inputs.shape[-1] != 3:
        actual = f"{inputs.dtype} {list(inputs.shape)}"
        raise InputError(f"inputs: pixels are uint8 [batch, height, width, 3], from 0 to 255; got {actual}")
    return inputs


def _numbers(inputs: Any, spec: tf.TensorSpec) -> np.ndarray:
    expected = f"rows of {spec.shape[-1]} numbers"
    try:
        numbers = np.asarray(inputs, dtype=spec.dtype.as_numpy_dtype)
    except (TypeError, ValueError) as error:
        raise InputError(f"inputs: this version reads {expected}; {error}") from None
    if numbers.ndim == 1 and numbers.size:
        numbers = numbers[np.newaxis]
    if numbers.size and (numbers.ndim != 2 or numbers.shape[1] != spec.shape[-1]):
        raise InputError(f"inputs: this version reads {expected}; got an array of shape {list(numbers.shape)}")
    return numbers


def _cells(inputs: Any, statistics: ColumnStatistics) -> Iterator[list[str]]:
    columns, rows = statistics.columns.names, inputs
    written = dict(zip(statistics.columns.numbers, statistics.notations, strict=True))
    if isinstance(inputs, pd.DataFrame):
        missing = [name for name in columns if name not in inputs.columns]
        if missing:
            raise InputError(f"inputs: no column {missing[0]!r}; this version reads {listed(columns)}")
        rows = inputs[list(columns)].to_dict("records")
    elif isinstance(inputs, Mapping):
        rows = [inputs]
    for index, row in enumerate(_listed(rows, f"rows with the columns {listed(columns)}")):
        if not isinstance(row, Mapping):
            raise InputError(f"inputs[{index}]: a mapping from column to cell expected; got {type(row).__name__}")
        cells = []
        for name in columns:
            if name not in row:
                raise InputError(f"inputs[{index}]: no column {name!r}; this version reads {listed(columns)}")
            text = cell_text(row[name].item() if isinstance(row[name], np.generic) else row[name])
            if text is None:
                raise InputError(f"inputs[{index}].{name}: one value expected; got {type(row[name]).__name__}")
            is_number = name in written and not isinstance(row[name], str)
            cells.append(written[name].written(text) if is_number else text)
        yield cells
