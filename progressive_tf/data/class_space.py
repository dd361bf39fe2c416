"""The classes of a plan: in which order the network learns them, the task of each, and labels wrong on purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from progressive_tf.data.label_spelling import Spelling
from progressive_tf.data.settled_labels import task_names
from progressive_tf.data.source import Source
from progressive_tf.data.tags import kinds_of
from progressive_tf.errors import InputError, unknown_name
from progressive_tf.evaluation.costs import Costs
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.plan.schema import Data, Plan

UNKNOWN = -1


@dataclass(frozen=True)
class UsedRows:
    """The rows of one source that a stage trains on, validates with or is measured on.

    Attributes:
        stage: its name.
        source: as named in the plan.
        rows: int64 indices into it.
        classes: the classes that the plan names for the stage, in its order, or None.
        place: of the stage's data in the plan.
    """

    stage: str
    source: str
    rows: np.ndarray
    classes: tuple[str, ...] | None
    place: str


@dataclass(frozen=True)
class ClassSpace:
    """The classes of a plan.

    Attributes:
        labels: in the order of the network's outputs.
        known: how many outputs the network has in each stage.
        codes: source → int32 [rows], indices into `labels`; −1 for a class that no stage has.
        grow: whether later stages may have more classes.
        label_tasks: the task of each label; empty unless the plan is task-incremental.
        tags: the network's outputs where these are not the labels: the tags of words, where sentences are tagged, and
            `labels` are those of whole sentences, by which they are counted and split.
        task_codes: source → int32 [rows], indices into `tasks`; empty unless the plan is task-incremental.
        costs: of answering a class with another; None where the plan says nothing of it.
        changed: what became of the labels of the version that the run starts from; None where they are as they were.
    """

    labels: tuple[str, ...]
    known: tuple[int, ...]
    codes: Mapping[str, np.ndarray]
    grow: bool = False
    label_tasks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    task_codes: Mapping[str, np.ndarray] = field(default_factory=dict)
    costs: Costs | None = None
    changed: LabelMap | None = None

    def with_costs(self, costs: Mapping[str, Mapping[str, float]] | None, spelling: Spelling) -> ClassSpace:
        """Returns the same classes with the costs of a plan, {true class: {answer: cost}}.

        Raises:
            InputError: a label that no class has.
        """
        if costs is None:
            return self
        read: dict[str, dict[str, float]] = {}
        for true, of in costs.items():
            for said, cost in of.items():
                pair = [spelling.of(label) for label in (true, said)]
                for place, label in zip((true, f"{true}.{said}"), pair, strict=True):
                    if label not in self.labels:
                        raise InputError(f"costs.{place}: {unknown_name('label', label, self.labels)}")
                read.setdefault(pair[0], {})[pair[1]] = cost
        return replace(self, costs=Costs.of_json(read))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, in the order in which they come."""
        return tuple(dict.fromkeys(self.label_tasks))

    def row_tasks(self, source: str, rows: np.ndarray) -> list[str] | None:
        """Returns the task of each row, or None where the plan has no tasks."""
        tasks = self.tasks
        return [tasks[code] for code in self.task_codes[source][rows]] if tasks else None

    @property
    def metric_labels(self) -> tuple[str, ...]:
        """What metrics of one label are of: classes, or the types of entities that tags mark."""
        return kinds_of(self.tags) or self.labels

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the network gives by name after the last stage: classes, or tags; none where it writes texts."""
        return (self.tags or self.labels)[: self.known[-1]]


def class_space(
    plan: Plan, sources: Mapping[str, Source], locations: Mapping[str, str], used: Sequence[UsedRows]
) -> ClassSpace:
    """Returns the classes of a plan, as its scenario has them.

    Args:
        plan: the plan.
        sources: by the name the plan gives them.
        locations: source → where the plan names it.
        used: of each stage, in order.

    Raises:
        InputError: data that contradicts the scenario; says which rows.
    """
    own = sources[plan.data.source].truth
    if own.in_classes:
        return _SCENARIOS[plan.scenario](plan, sources, locations, used)
    for name, source in sources.items():
        source.truth.check_within(own, plan.data.source, locations[name], source.name)
    outputs, labels = own.outputs, tuple(sorted({label for source in sources.values() for label in source.labels}))
    codes = {name: codes_in(source, labels) for name, source in sources.items()}
    tags = () if outputs == labels else outputs
    return ClassSpace(labels, (len(outputs),) * len(used), codes, tags=tags)


def _data_incremental(
    plan: Plan, sources: Mapping[str, Source], locations: Mapping[str, str], used: Sequence[UsedRows]
) -> ClassSpace:
    labels = sources[plan.data.source].labels
    codes = {name: _codes_within(source, labels, locations[name], plan.scenario) for name, source in sources.items()}
    return ClassSpace(labels, (len(labels),) * len(used), codes)


def _domain_incremental(
    plan: Plan, sources: Mapping[str, Source], locations: Mapping[str, str], used: Sequence[UsedRows]
) -> ClassSpace:
    space = _data_incremental(plan, sources, locations, used)
    first = np.unique(space.codes[used[0].source][used[0].rows])
    for stage in used[1:]:
        codes = space.codes[stage.source][stage.rows]
        new = ~np.isin(codes, first)
        if new.any():
            label = space.labels[codes[new][0]]
            raise InputError(
                f"{stage.place}: {sources[stage.source].rows_in_words(stage.rows[new])} of stage {stage.stage} bring a "
                f"class that stage {used[0].stage} does not have, such as {label!r}; scenario domain-incremental keeps "
                f"its classes: take them out, or set scenario: class-incremental"
            )
    return space


def _class_incremental(
    plan: Plan, sources: Mapping[str, Source], locations: Mapping[str, str], used: Sequence[UsedRows]
) -> ClassSpace:
    labels, known = _in_order_of_stages((_classes_of(stage, sources[stage.source]) for stage in used), used)
    codes = {name: codes_in(source, labels) for name, source in sources.items()}
    return ClassSpace(labels, known, codes, grow=True)


def _task_incremental(
    plan: Plan, sources: Mapping[str, Source], locations: Mapping[str, str], used: Sequence[UsedRows]
) -> ClassSpace:
    tasks = (
        _tasks_by_column(plan.data, plan.data.task, sources, locations, used)
        if plan.data.task
        else _tasks_by_stage(plan, sources, used)
    )
    names: dict[str, np.ndarray] = {}
    for name, source in sources.items():
        plain = np.array(source.labels, object)[source.label_codes]
        names[name] = np.array([f"{task}/{label}" for task, label in zip(tasks[name], plain, strict=True)], object)
    labels, known = _in_order_of_stages((_sorted_classes(names[stage.source][stage.rows]) for stage in used), used)
    label_tasks: dict[str, str] = {}
    for stage in used:
        pairs = zip(names[stage.source][stage.rows], tasks[stage.source][stage.rows], strict=True)
        label_tasks.update(pairs)
    order = tuple(dict.fromkeys(label_tasks[label] for label in labels))
    return ClassSpace(
        labels,
        known,
        {name: _positions(row_labels, labels) for name, row_labels in names.items()},
        True,
        tuple(label_tasks[label] for label in labels),
        task_codes={name: _positions(row_tasks, order) for name, row_tasks in tasks.items()},
    )


def _tasks_by_stage(plan: Plan, sources: Mapping[str, Source], used: Sequence[UsedRows]) -> dict[str, np.ndarray]:
    """Returns the name of the stage that uses each row, an empty text for rows that none uses."""
    named = [f"data.{key}" for key in ("slices", "validation_sets") if getattr(plan.data, key)]
    if named:
        raise InputError(
            f"{named[0]}: its rows belong to no task; name the column that says the task with data.task, or drop it"
        )
    tasks = {name: np.full(len(source), "", object) for name, source in sources.items()}
    for stage in used:
        own = tasks[stage.source]
        taken = own[stage.rows] != ""
        if taken.any():
            rows = stage.rows[taken]
            raise InputError(
                f"{stage.place}: {sources[stage.source].rows_in_words(rows)} belong to stage {own[rows[0]]} too, "
                f"and each stage is a task; give the stages other rows or classes, or name the column that says the "
                f"task with data.task"
            )
        own[stage.rows] = stage.stage
    return tasks


def _tasks_by_column(
    data: Data, column: str, sources: Mapping[str, Source], locations: Mapping[str, str], used: Sequence[UsedRows]
) -> dict[str, np.ndarray]:
    tasks: dict[str, np.ndarray] = {}
    for name, source in sources.items():
        if column not in source.column_names:
            raise InputError(f"data.task: {source.name}: {unknown_name('column', column, source.column_names)}")
        tasks[name] = source.columns([column])[column].map(str).to_numpy(object)
        slashed = np.flatnonzero(["/" in task for task in tasks[name]])
        if len(slashed):
            raise InputError(
                f"data.task: {source.rows_in_words(slashed)} have '/' in {column}, such as "
                f"{tasks[name][slashed[0]]!r}"
                f"; answers are named task/class, so write the task without it"
            )
    names = task_names([Counter(row_tasks.tolist()) for row_tasks in tasks.values()], data)
    tasks = {name: np.array([names[task] for task in row_tasks], object) for name, row_tasks in tasks.items()}
    trained = {task for stage in used for task in np.unique(tasks[stage.source][stage.rows])}
    stage_sources = {stage.source for stage in used}
    for name in sources.keys() - stage_sources:
        unknown = ~np.isin(tasks[name], list(trained))
        if unknown.any():
            task, rows = tasks[name][unknown][0], np.flatnonzero(unknown)
            raise InputError(
                f"{locations[name]}: {sources[name].rows_in_words(rows)} are of a task that no stage has: "
                f"{unknown_name('task', task, trained)}"
            )
    return tasks


def _in_order_of_stages(
    classes: Iterator[Sequence[str]], used: Sequence[UsedRows]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    labels: dict[str, None] = {}
    known = []
    for stage, stage_classes in zip(used, classes, strict=True):
        labels.update(dict.fromkeys(stage_classes))
        if len(labels) < 2:
            raise InputError(f"{stage.place}: has one class, {stage_classes[0]!r}; the first stage needs at least two")
        known.append(len(labels))
    return tuple(labels), tuple(known)


def _classes_of(stage: UsedRows, source: Source) -> Sequence[str]:
    present = sorted(source.labels[code] for code in np.unique(source.label_codes[stage.rows]))
    return [name for name in stage.classes if name in present] if stage.classes is not None else present


def _sorted_classes(names: np.ndarray) -> list[str]:
    return sorted(set(names.tolist()))


def _positions(names: np.ndarray, order: Sequence[str]) -> np.ndarray:
    place = {name: index for index, name in enumerate(order)}
    return np.array([place.get(name, UNKNOWN) for name in names], np.int32)


def codes_in(source: Source, labels: Sequence[str]) -> np.ndarray:
    """Returns the place of each row's label among some, int32 [rows]; `UNKNOWN` where it is none of them."""
    return _positions(np.array(source.labels, object), labels)[source.label_codes]


def _codes_within(source: Source, labels: tuple[str, ...], place: str, scenario: str) -> np.ndarray:
    codes = codes_in(source, labels)
    unknown = np.flatnonzero(codes == UNKNOWN)
    if len(unknown):
        label = source.labels[source.label_codes[unknown[0]]]
        stage, is_stage, _ = place.partition(".data")
        way = f"; where labels are others from this stage on, {stage}.labels says so" if stage and is_stage else ""
        raise InputError(
            f"{place}: {source.rows_in_words(unknown)} have a class that scenario {scenario} does not expect: "
            f"{unknown_name('label', label, labels)}{way}"
        )
    return codes


_SCENARIOS: dict[str, Callable[..., ClassSpace]] = {
    "data-incremental": _data_incremental,
    "domain-incremental": _domain_incremental,
    "class-incremental": _class_incremental,
    "task-incremental": _task_incremental,
}


@dataclass(frozen=True, eq=False)
class WrongLabels:
    """Rows of a source whose label is another one while a stage trains.

    Attributes:
        source: its name in the plan.
        rows: int64 indices into it, ascending.
        labels: int32, positions in the source's labels.
    """

    source: str
    rows: np.ndarray
    labels: np.ndarray

    def without(self, rows: np.ndarray) -> WrongLabels:
        """Returns those of them that are not of these rows."""
        kept = ~np.isin(self.rows, rows)
        return WrongLabels(self.source, self.rows[kept], self.labels[kept])


def choose_wrong_labels(name: str, source: Source, rows: np.ndarray, share: float, seed: int) -> WrongLabels:
    """Returns a share of rows, drawn without replacement, each with a label that another class of the rows has.

    Every class of the rows but a row's own is as likely (symmetric noise).

    Args:
        name: of the source in the plan.
        source: where the rows are.
        rows: int64 indices, with at least two classes.
        share: in (0, 1).
        seed: of the draw.
    """
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.choice(rows, round(share * len(rows)), replace=False))
    present = np.unique(source.label_codes[rows])
    own = np.searchsorted(present, source.label_codes[chosen])
    other = (own + generator.integers(1, len(present), len(chosen))) % len(present)
    return WrongLabels(name, chosen, present[other].astype(np.int32))


def with_wrong_labels(source: Source, name: str, wrong: Sequence[WrongLabels]) -> Source:
    """Returns a source whose rows have the wrong labels that belong to it; of two for a row, the later counts."""
    codes = source.label_codes.copy()
    for wrong_labels in wrong:
        if wrong_labels.source == name:
            codes[wrong_labels.rows] = wrong_labels.labels
    return replace(source, truth=source.truth.with_codes(codes))
