"""Raw inputs of any kind → what an exported version answers, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_text  # noqa: F401  the tokenizer's operations

from progressive_tf.errors import InputError, listed, unknown_name
from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics
from progressive_tf.plan.tasks import input_kind_of_version, task_of_version
from progressive_tf.scoring.answered import answer_columns
from progressive_tf.scoring.batches import answers_of, by_length, bytes_of, in_order, most_bytes
from progressive_tf.scoring.inputs import cells_of, files_of, numbers_of, pixels_of, several, texts_of, words_of
from progressive_tf.scoring.unread import NOTES, Unread
from progressive_tf.training.answers.base import DEFAULT, GENERATE, TOKENS

PIXELS = "pixels"
MANY_ROWS, MOST_ROWS = 256, {"texts": 64}
SPAN_COLUMNS = ["input", "kind", "words", "start", "end", "score"]
TEXT_COLUMNS = ["text", "translation", "confidence"]

Rows = Sequence[Any] | np.ndarray
Outputs = dict[str, np.ndarray]
Reading = tuple[str, Rows, Callable[[Rows], tf.Tensor]]


@dataclass(frozen=True)
class Asked:
    """What a version is asked.

    Attributes:
        inputs: raw, of the kind that it reads.
        task: of all inputs or of each, for a version with tasks.
        batch_size: how many in a batch, at most.
        unread: counts what it does not read of them.
        tell: is told after each batch how many it had.
    """

    inputs: Any
    task: str | Sequence[str] | None
    batch_size: int
    unread: Unread
    tell: Callable[[int], object] = lambda done: None


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
        self._most_tokens = (manifest.get("inputs") or {}).get("max_length")
        self._most_bytes = most_bytes()

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
    def cells(self) -> list[str]:
        """The names of the cells that say what it answers to a row."""
        outputs = self._signatures[DEFAULT].structured_outputs
        further = [name for name in sorted(outputs) if name not in NOTES and outputs[name].shape.rank == 1]
        return answer_columns(self.gives, self._labels, further)

    @property
    def most_rows(self) -> int:
        """How many rows a batch has at most, where nobody asks for another number."""
        return MOST_ROWS.get(self.gives, MANY_ROWS)

    @property
    def has_tasks(self) -> bool:
        """Whether every input needs the name of a task."""
        return self._has_tasks

    def answer(
        self,
        inputs: Any,
        task: str | Sequence[str] | None,
        batch_size: int,
        unread: Unread | None = None,
        tell: Callable[[int], object] = lambda done: None,
    ) -> pd.DataFrame:
        """Returns a row for each input, or for each span that a tagger finds.

        A row has the input's class, or the text that is written for it. A warning says where a part of an input was not
        read, unless that is counted in `unread`.

        Raises:
            InputError: inputs that the model does not read, or tasks it does not have.
        """
        asked = Asked(inputs, task, batch_size, Unread() if unread is None else unread, tell)
        answered = TABLES.get(self.gives, Predictor.outputs)(self, asked)
        if unread is None:
            asked.unread.warn()
        return answered

    def _of_rows(self, asked: Asked) -> Outputs:
        """Returns the outputs of all rows that are as wide in each, by name; nothing where there are no rows."""
        name, rows, tensor = self._read(asked.inputs)
        tasks = self._tasks(asked.task, len(rows))

        def outputs(batch: np.ndarray) -> Outputs:
            given = {self._spec.name if name == DEFAULT else name: tensor(_taken(rows, batch))}
            if tasks is not None:
                given["task"] = tf.constant(_taken(tasks, batch))
            return self._outputs(name, given, batch)

        if len(rows) and isinstance(rows[0], str):
            lengths = np.array(list(map(bytes_of, rows)))
            batches = by_length(lengths, asked.batch_size, self._most_bytes, self._most_tokens)
            found = answers_of(outputs, batches)
        else:
            batches = in_order(len(rows), asked.batch_size)
            found = map(outputs, batches)
        parts = [part for _, part in self._noted(asked, batches, found, rows)]
        back = np.argsort(np.concatenate(batches)) if batches else np.zeros(0, int)
        names = [name for name in (parts[0] if parts else ()) if name not in NOTES]
        return {name: np.concatenate([part[name] for part in parts])[back] for name in names}

    def _outputs(self, signature: str, given: Mapping[str, Any], batch: np.ndarray) -> Outputs:
        """Returns what a batch is answered, by name; InputError names the inputs that are refused."""
        try:
            return {name: value.numpy() for name, value in self._signatures[signature](**given).items()}
        except tf.errors.InvalidArgumentError as error:
            message = error.message.partition("[[{{")[0].rpartition("<stack traces unavailable>")[2]
            message = " ".join(message.split())
            places = ", ".join(map(str, np.sort(batch)))
            which = f"inputs[{places}]" if len(batch) == 1 else f"one of inputs {places}"
            raise InputError(f"{which}: refused: {message:.400}") from None

    def _noted(
        self, asked: Asked, batches: Sequence[np.ndarray], outputs: Iterable[Outputs], rows: Rows = ()
    ) -> Iterator[tuple[np.ndarray, Outputs]]:
        """Yields each batch with its outputs, and takes note of them."""
        learnt = self._statistics
        notations = {} if learnt is None else dict(zip(learnt.columns.numbers, learnt.notations, strict=True))
        for batch, of_batch in zip(batches, outputs, strict=True):
            cells = [dict(zip(self.columns, row, strict=True)) for row in _taken(rows, batch)] if self.columns else ()
            asked.unread.note(of_batch, cells, notations)
            asked.tell(len(batch))
            yield batch, of_batch

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
        cells = list(cells_of(inputs, self._statistics))
        return DEFAULT, cells, lambda rows: tf.constant(rows, tf.string, [len(rows), width])

    def _read_numbers(self, inputs: Any) -> Reading:
        return DEFAULT, numbers_of(inputs, self._spec), lambda rows: tf.constant(rows, self._spec.dtype)

    def _read_images(self, inputs: Any) -> Reading:
        if isinstance(inputs, np.ndarray) and inputs.dtype != object:
            return PIXELS, pixels_of(inputs, not self._has_tasks), lambda rows: tf.constant(rows, tf.uint8)
        return DEFAULT, files_of(inputs), lambda rows: tf.constant(rows, tf.string)

    def written(self, asked: Asked) -> pd.DataFrame:
        """Returns a row for each text: the text that is written for it, and how sure that is."""
        self._tasks(asked.task, 0)
        texts = texts_of(asked.inputs)
        written, confidence = [""] * len(texts), np.zeros(len(texts), np.float32)

        def outputs(batch: np.ndarray) -> Outputs:
            given = [texts[index].encode("utf-8", "surrogatepass") for index in batch]
            return self._outputs(GENERATE, {"text": tf.constant(given, tf.string)}, batch)

        # Each is read, and written for, as long as a batch's longest; a step for many takes little longer than for one.
        batches = by_length(np.array(list(map(bytes_of, texts)), int), asked.batch_size)
        for batch, answer in self._noted(asked, batches, map(outputs, batches)):
            confidence[batch] = answer["confidence"]
            for index, text in zip(batch, answer["translation"].tolist(), strict=True):
                written[index] = text.decode("utf-8", "ignore")
        columns = (pd.Series(texts, dtype=object), pd.Series(written, dtype=object), confidence)
        return pd.DataFrame(dict(zip(TEXT_COLUMNS, columns, strict=True)))

    def spans(self, asked: Asked) -> pd.DataFrame:
        """Returns a row for each span that is found in a text or a list of words."""
        self._tasks(asked.task, 0)
        single = isinstance(asked.inputs, str)
        given = [asked.inputs] if single else several(asked.inputs, "texts, or lists of words")
        of_words = bool(given) and not isinstance(given[0], str)
        rows = [words_of(words, index) for index, words in enumerate(given)] if of_words else texts_of(given)

        def outputs(batch: np.ndarray) -> Outputs:
            taken = _taken(rows, batch)
            if not of_words:
                return self._outputs(DEFAULT, {"text": tf.constant(taken, tf.string)}, batch)
            longest = max(map(len, taken))
            padded = [[*words, *[""] * (longest - len(words))] for words in taken]
            return self._outputs(TOKENS, {"tokens": tf.constant(padded, tf.string, [len(taken), longest])}, batch)

        lengths = [bytes_of(row if isinstance(row, str) else " ".join(row)) for row in rows]
        batches = by_length(np.array(lengths, int), asked.batch_size, self._most_bytes)
        found: list[list[tuple[Any, ...]]] = [[]] * len(rows)
        for batch, answer in self._noted(asked, batches, answers_of(outputs, batches)):
            for place, index in enumerate(batch.tolist()):
                found[index] = list(_spans(rows[index], index, place, answer))
        return pd.DataFrame([span for spans in found for span in spans], columns=SPAN_COLUMNS)


TABLES: dict[str, Callable[[Predictor, Asked], pd.DataFrame]] = {
    "classes": Predictor.classes,
    "tags": Predictor.spans,
    "texts": Predictor.written,
}
"""By the name of a kind of answer: what makes its table; of another kind it is `Predictor.outputs`."""


def _spans(row: Any, index: int, place: int, answer: Outputs) -> Iterator[tuple[Any, ...]]:
    """Yields the spans of an input, as `SPAN_COLUMNS` has them; `place` is the input's in the answer."""
    for each in range(answer["count"][place]):
        start, end = int(answer["start"][place, each]), int(answer["end"][place, each])
        words = row[start:end] if isinstance(row, str) else " ".join(row[start:end])
        kind, score = answer["kind"][place, each].decode(), float(answer["score"][place, each])
        yield index, kind, words, start, end, score


def _taken(rows: Rows, places: np.ndarray) -> Rows:
    return rows[places] if isinstance(rows, np.ndarray) else [rows[place] for place in places.tolist()]


def _read_texts(inputs: Any) -> Reading:
    return DEFAULT, texts_of(inputs), lambda rows: tf.constant(rows, tf.string)
