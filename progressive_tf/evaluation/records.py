"""The records that a run and its stages leave as JSON files, as values; what is not written yet is None or empty."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from progressive_tf.errors import InputError
from progressive_tf.evaluation.abstaining import Abstention
from progressive_tf.plan.methods import Action

Record = TypeVar("Record")
Cells = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Measure:
    """A metric's value with its interval and the number of rows behind it; None where it does not exist."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class Weights:
    """Numbers of weights: those that moved and all of them."""

    trainable: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class RivalMeasure:
    """What a rival reaches on rows, how much more than the stage, and the 95 % interval of that."""

    value: float
    more: float
    low: float
    high: float
    n: int

    @property
    def wins(self) -> bool:
        """Whether it surely has more than the stage."""
        return self.low > 0


@dataclass(frozen=True)
class Rival:
    """A simple classifier on the same outputs of frozen blocks, fitted on the same rows so far.

    Attributes:
        rows: it was fitted on.
        of: how many there are.
        gate: on the gate rows of the stage and of those released before it.
        test: on their test rows.
        slices: of each part its value on each slice that the run's R matrix has.
    """

    rows: int
    of: int
    gate: RivalMeasure
    test: RivalMeasure | None = None
    slices: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def shown(self) -> RivalMeasure:
        """On test rows; on gate rows where there are none."""
        return self.test or self.gate


@dataclass(frozen=True)
class StageMetrics:
    """`metrics.json`: metrics by slice (gate), by stage (test) and on the stage's validation rows."""

    gate: dict[str, dict[str, Measure]] = field(default_factory=dict)
    test: dict[str, dict[str, Measure]] = field(default_factory=dict)
    validation: dict[str, Measure] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    stability: dict[str, dict[str, float]] = field(default_factory=dict)
    recency: dict[str, float] = field(default_factory=dict)
    retention: dict[str, dict[str, Any]] = field(default_factory=dict)
    explanations: dict[str, Any] = field(default_factory=dict)
    rivals: dict[str, Rival] = field(default_factory=dict)
    abstain: Abstention | None = None
    unknown_inputs: dict[str, Any] = field(default_factory=dict)
    weights: Weights = Weights()
    epochs: int | None = None
    best_epoch: int | None = None


@dataclass(frozen=True)
class Forced:
    """`forced.json`: the version that a person made of the stage although the gate had not released it."""

    version: int
    reason: str | None = None
    time: str | None = None


@dataclass(frozen=True)
class StageData:
    """`data.json`: how many rows of which source a stage used, and the labels of each part.

    Attributes:
        source: its name.
        source_sha256: hash of its content.
        slice: name of the stage's slice: its own, or that of an earlier stage with the same rows.
        train: rows to train on.
        validation: rows to choose on.
        gate_part: the source's rows for gates.
        pool: the source's rows that stages take from.
        labels: by part, how many rows each label has.
        wrong_labels: training rows whose label was exchanged on purpose.
        rows_sha256: hash of the rows of every part.
        started_from: the stage whose weights this one started from; None for those the run starts from.
        environment: code, packages and devices of the process that began the stage.
        stream: what came of a stream that the stage learnt from.
    """

    source: str | None = None
    source_sha256: str | None = None
    slice: str | None = None
    train: int | None = None
    validation: int | None = None
    gate_part: int | None = None
    pool: int | None = None
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    wrong_labels: int | None = None
    rows_sha256: str | None = None
    started_from: str | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    stream: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns what stands in data.json."""
        return {key: value for key, value in asdict(self).items() if key != "stream" or value is not None}


@dataclass(frozen=True)
class Finding:
    """One kind of thing that is wrong with a stage's rows.

    Attributes:
        kind: as in the plan's `data.quality`.
        action: what the plan says to do about it.
        count: number of rows; of classes for `class_imbalance` and `too_few_per_class`.
        rows: source row numbers of the first ten.
        examples: what stands there, shortened.
        message: a sentence for people.
        images: small PNG files of the first ten, as data addresses; none where rows are no images.
    """

    kind: str
    action: Action
    count: int
    rows: tuple[int, ...] = ()
    examples: tuple[str, ...] = ()
    message: str = ""
    images: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns what stands in quality.json."""
        return {key: value for key, value in asdict(self).items() if key != "images" or value}


@dataclass(frozen=True)
class Quality:
    """`quality.json`."""

    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FurtherMatrix:
    """Cells and measures of a metric in `matrix.json`."""

    gate: Cells = ()
    test: Cells = ()
    acc: float | None = None
    bwt: float | None = None
    fwt: float | None = None
    forgetting: float | None = None
    test_measures: dict[str, float | None] = field(default_factory=dict)

    def cells(self, part: str) -> Cells:
        """Returns the cells on gate or on test rows: [1 + stages trained, stages]."""
        return self.gate if part == "gate" else self.test


@dataclass(frozen=True, kw_only=True)
class Matrix(FurtherMatrix):
    """`matrix.json`: row i is measured after stage i (row 0: untrained), column j on stage j's rows.

    `labels` says in whose words, where the labels changed between these stages, and how answers in others were read.
    """

    metric: str = "accuracy"
    stages: tuple[str, ...]
    labels: str | None = None
    further: dict[str, FurtherMatrix] = field(default_factory=dict)

    @property
    def of_metrics(self) -> dict[str, Matrix]:
        """The matrix of each metric, its own first."""
        others = {name: replace(self, metric=name, further={}, **vars(other)) for name, other in self.further.items()}
        return {self.metric: replace(self, further={}), **others}

    def to_json(self) -> dict[str, Any]:
        """Returns what stands in matrix.json."""
        values = {"metric": self.metric, "stages": self.stages} | asdict(self)
        return {key: value for key, value in values.items() if key not in ("further", "labels") or value}


@dataclass(frozen=True)
class Bound:
    """ACC and forgetting of one of the runs in `bounds.json`, on gate and on test rows."""

    acc: float | None = None
    forgetting: float | None = None
    test_acc: float | None = None
    test_forgetting: float | None = None


@dataclass(frozen=True)
class Bounds:
    """`bounds.json`: the plan between its lower and its upper bound; `position` is 0 at naive and 1 at joint."""

    stages: tuple[str, ...] = ()
    naive: Bound = Bound()
    plan: Bound = Bound()
    joint: Bound = Bound()
    position: float | None = None


@dataclass(frozen=True)
class Environment:
    """`environment.json`."""

    python: str | None = None
    platform: str | None = None
    packages: dict[str, str | None] = field(default_factory=dict)
    code: str | None = None
    devices: tuple[str, ...] = ()
    hardware: str | None = None
    command: tuple[str, ...] = ()
    registry: str | None = None


def read_text(path: Path) -> str:
    """Returns the text of a UTF-8 file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def read_record(path: Path, kind: type[Record]) -> Record | None:
    """Returns a JSON file as the frozen dataclass `kind`, or None if there is no such file.

    Raises:
        InputError: it is not JSON, or a value in it has another type than the dataclass says.
    """
    if not path.exists():
        return None
    try:
        return record_of(json.loads(read_text(path)), kind, str(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON: {error}; restore it, or delete it to leave it out") from error


def record_of(value: Any, kind: type[Record], place: str) -> Record:
    """Returns JSON-like values as the frozen dataclass `kind`; keys that it does not have are left out.

    Args:
        value: what a file holds.
        kind: the dataclass.
        place: where it stands; errors begin with it.

    Raises:
        InputError: a value has another type than the dataclass says.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        keys = ".".join(map(str, first["loc"])) or "top level"
        raise InputError(f"{place}: {keys}: {first['msg']}; got {first['input']!r:.80}") from error
