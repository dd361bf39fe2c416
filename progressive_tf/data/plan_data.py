"""All the rows of a plan: sources, fixed parts, what each stage takes, and the slices it is measured on."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from progressive_tf.data.alike_rows import about_alike, about_groups, columns_read
from progressive_tf.data.class_space import (
    UNKNOWN,
    ClassSpace,
    UsedRows,
    WrongLabels,
    choose_wrong_labels,
    class_space,
    with_wrong_labels,
)
from progressive_tf.data.earlier_rows import NO_ROWS, EarlierRows, with_earlier_rows
from progressive_tf.data.kinds import INPUT_KINDS
from progressive_tf.data.label_list_checks import (
    check_costs,
    check_domain,
    check_stages,
    refuse_old_words_of_file,
)
from progressive_tf.data.label_lists import LabelLists, in_each_list, label_lists, later_labels
from progressive_tf.data.label_spelling import Spelling
from progressive_tf.data.labels_file import LabelsFile, read_labels_file
from progressive_tf.data.learnt import Learnt
from progressive_tf.data.part_lines import part_lines
from progressive_tf.data.quality import about_left_out, rows_left_out
from progressive_tf.data.settled_labels import settle_labels, with_written_classes
from progressive_tf.data.slices import Slice, named_slices, stage_slices
from progressive_tf.data.source import Source, SourceReader
from progressive_tf.data.source_lines import source_lines
from progressive_tf.data.splits import Parts, fixed_parts, row_groups
from progressive_tf.data.stage_rows import StageRows, rows_of_stages
from progressive_tf.data.start_labels import StartLabels
from progressive_tf.data.tables import read_tables
from progressive_tf.data.unknown_rows import UnknownRows, read_unknown_rows
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.evaluation.records import Finding
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.schema import Plan, Split
from progressive_tf.plan.table_columns import TableColumns
from progressive_tf.seeds import derive_seed


@dataclass(frozen=True)
class PlanData:
    """Every row that a plan uses.

    Attributes:
        classes: in which order the network learns which classes.
        sources: by the name the plan gives them.
        parts: source → its fixed parts.
        stages: what each stage trains and validates on, in order.
        stage_sources: the source of each stage.
        slices: every distinct slice, stages' first.
        slice_of: the name of the slice of each stage, in order.
        further: rows of other sources that a single stage trains and validates on too, by source.
        wrong_labels: of each stage, those that are wrong on purpose.
        spelling: which class a label is that comes later, however it is written.
        findings: source → what was found in it before it was split.
        unknown: rows that no class fits, where the plan names some; their source is among the sources.
        earlier: what is known of the rows of the runs before.
        labels_file: what labels were called before, where the plan names such a file.
        lists: the lists of labels of the stages, where some stage inside the run changes them; these rows are in the
            words of the last one.
        views: the same rows in the words of each of the lists; none where there is one list.
    """

    classes: ClassSpace
    sources: Mapping[str, Source]
    parts: Mapping[str, Parts]
    stages: tuple[StageRows, ...]
    stage_sources: tuple[str, ...]
    slices: Mapping[str, Slice]
    slice_of: tuple[str, ...]
    further: Mapping[str, StageRows] = field(default_factory=dict)
    wrong_labels: tuple[tuple[WrongLabels, ...], ...] = ()
    spelling: Spelling = field(default_factory=Spelling)
    findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    unknown: UnknownRows | None = None
    earlier: EarlierRows = NO_ROWS
    labels_file: LabelsFile | None = None
    lists: LabelLists | None = None
    views: tuple[PlanData, ...] = ()

    def at(self, index: int) -> PlanData:
        """Returns the rows in the words of a stage; `index` counts from 0."""
        return self if self.lists is None else self.views[self.lists.number_of(index)]

    @property
    def old_words(self) -> dict[str, str]:
        """What classes were called before, by the version that the run starts from or earlier stages → their name."""
        found = {} if self.classes.changed is None else self.classes.changed.words
        if self.lists is not None:
            last = len(self.lists.lists) - 1
            for number in range(last):
                found |= self.lists.between(number, last).words
        return found

    def joined(self, rows: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> PlanData:
        """Returns the same data with one stage, which knows every class.

        Args:
            rows: source → its training and its validation rows; the first is the stage's own source.
        """
        stages = {name: StageRows(*parts) for name, parts in rows.items()}
        own = next(iter(stages))
        return replace(
            self,
            classes=replace(self.classes, known=(len(self.outputs),)),
            stages=(stages.pop(own),),
            stage_sources=(own,),
            slice_of=self.slice_of[-1:],
            further=stages,
            wrong_labels=(self._last_wrong_labels(),),
        )

    def _last_wrong_labels(self) -> tuple[WrongLabels, ...]:
        """Returns the wrong labels of rows as the last stage that has them trains on them."""
        last: list[WrongLabels] = []
        for index, wrong in enumerate(self.wrong_labels):
            for wrong_labels in wrong:
                later = [
                    rows.train
                    for name, rows in zip(self.stage_sources[index + 1 :], self.stages[index + 1 :], strict=True)
                    if name == wrong_labels.source
                ]
                last.append(wrong_labels.without(np.concatenate(later)) if later else wrong_labels)
        return tuple(last)

    def trained_source(self, index: int, name: str) -> Source:
        """Returns a source with the labels that a stage trains on."""
        wrong = self.wrong_labels[index] if self.wrong_labels else ()
        return with_wrong_labels(self.sources[name], name, wrong) if wrong else self.sources[name]

    def trained_codes(self, index: int, name: str, rows: np.ndarray) -> np.ndarray:
        """Returns what a stage trains rows of a source on, int32 indices into `labels`."""
        source, codes = self.sources[name], self.codes[name]
        trained = self.trained_source(index, name)
        if trained is source:
            return codes[rows]
        of_label = np.full(len(source.labels), UNKNOWN, np.int32)
        of_label[source.label_codes] = codes
        return of_label[trained.label_codes[rows]]

    @property
    def labels(self) -> tuple[str, ...]:
        """Every class, in the order of the network's outputs."""
        return self.classes.labels

    @property
    def outputs(self) -> tuple[str, ...]:
        """The network's labels: every class, or the tags of words; none where it writes texts."""
        return self.classes.outputs

    @property
    def codes(self) -> Mapping[str, np.ndarray]:
        """Source → int32 [rows] indices into `labels`."""
        return self.classes.codes

    def classes_meant(self, name: str) -> tuple[str, ...]:
        """Returns the classes that rows of a slice should have: those of all rows that meet its conditions.

        Nothing where rows are of no class, nor for the plan's `validation_sets`, whose rows are all there are.
        """
        part = self.slices[name]
        if not self.sources[part.source].truth.in_classes:
            return ()
        codes = np.unique(self.codes[part.source][part.meant]).tolist()
        return tuple(self.labels[code] for code in codes if code != UNKNOWN)

    @property
    def first_slice(self) -> Slice:
        """The slice of the first stage."""
        return self.slices[self.slice_of[0]]

    @property
    def input_width(self) -> int | None:
        """Numbers in a row; None for texts, images and tables."""
        return next(iter(self.sources.values())).width

    @property
    def columns(self) -> TableColumns | None:
        """The columns that the network reads from a table; None where the data is no table."""
        return next(iter(self.sources.values())).features

    def training_cells(self, index: int) -> list[list[str]]:
        """Returns the cells of these columns in the rows that the plan gives a stage to train on."""
        parts = [(self.stage_sources[index], self.stages[index]), *self.further.items()]
        return [cells for name, rows in parts for cells in self.sources[name].cells(rows.train)]

    def row_tasks(self, source: str, rows: np.ndarray) -> list[str] | None:
        """Returns the task of each row, or None where the plan has no tasks."""
        return self.classes.row_tasks(source, rows)

    @property
    def evaluation_keys(self) -> np.ndarray:
        """Folded-text keys of every validation, gate and test row of every source, uint64, sorted."""
        validation = [self.sources[name].keys[parts.validation] for name, parts in self.parts.items()]
        return np.unique(np.concatenate([*validation, self.decision_keys]))

    @property
    def decision_keys(self) -> np.ndarray:
        """Folded-text keys of every gate and test row of every source, uint64, sorted."""
        keys = [
            self.sources[name].keys[rows] for name, parts in self.parts.items() for rows in (parts.gate, parts.test)
        ]
        keys += [self.sources[part.source].keys[part.gate] for part in self.slices.values()]
        return np.unique(np.concatenate(keys))


def read_plan_data(
    loaded: LoadedPlan,
    cache: Path,
    display: Display | None = None,
    leave_empty_out: bool = True,
    learnt: Learnt | None = None,
    start: StartLabels | None = None,
) -> PlanData:
    """Reads every source of a plan and fixes all parts, before any stage runs.

    Args:
        loaded: the plan.
        cache: the folder of all caches.
        display: shows reading that takes long, and what is decided; None shows nothing.
        leave_empty_out: whether rows with an empty text go into no part, where the plan drops them.
        learnt: what the version was trained on that the plan starts from, if one is known.
        start: the labels of that version; None where it starts from none.

    Raises:
        InputError: anything wrong with the data or with what the plan asks of it.
    """
    plan, data = loaded.plan, loaded.plan.data
    stage_sources = tuple(stage.data.source or data.source for stage in plan.stages)
    locations = {data.source: "data.source"}
    for index, name in enumerate(stage_sources):
        locations.setdefault(name, f"stages[{index}].data.source")
    for set_name, name in data.validation_sets.items():
        locations.setdefault(name, f"data.validation_sets.{set_name}")
    reader, sources = SourceReader(data, plan.kind, loaded.folder, cache), {}
    for name, place in locations.items():
        with contextlib.nullcontext() if display is None else display.counting(f"reading {name}") as progress:
            sources[name] = reader.read(name, place, progress)
    _check_inputs(plan, sources, locations)
    if sources[data.source].input_kind.has_columns:
        sources = read_tables(sources, data)
    file, start, by_file = read_labels_file(loaded, start)
    changing, later = later_labels(plan, stage_sources)
    refuse_old_words_of_file(plan, file)
    settled = settle_labels(sources, data, start, file, later)
    sources, plan = dict(settled.sources), with_written_classes(plan, settled.spelling)
    left_out = rows_left_out(sources, data.quality) if leave_empty_out else {}
    findings = {name: settled.findings + about_left_out(sources[name], left_out.get(name)) for name in sources}
    if display is not None:
        messages = dict.fromkeys(finding.message for of_source in findings.values() for finding in of_source)
        display.lines_once([*source_lines(list(sources.values())), *by_file, *settled.lines, *messages])
    splits = _splits(plan)
    refresh = data.gate_refresh
    if refresh is not None and not any(refresh.column in source.column_names for source in sources.values()):
        sources[data.source].full_column(refresh.column, "data.gate_refresh.column")
    parts = {name: fixed_parts(sources[name], *splits[name], left_out.get(name), refresh, learnt) for name in splits}
    read = columns_read(plan, sources)
    for name, source in sources.items():
        split, own = splits.get(name, (data.split, ""))[0], parts.get(name)
        grouped = replace(source, groups=row_groups(source, split.group))
        alike = about_alike(grouped, np.arange(len(source)) if own is None else own.gate, data, read)
        findings[name] += alike
        if display is not None:
            lines = about_groups(grouped, split) if own is None else part_lines(source, own, split, refresh, learnt)
            display.lines_once([*(finding.message for finding in alike), *lines])
        sources[name] = grouped
    lists = None
    if changing:
        lists = label_lists(plan, sources[data.source].labels, settled.spelling, start, settled.changed)
    as_read = [
        sources[name] if lists is None else lists.source(sources[name], lists.number_of(index))
        for index, name in enumerate(stage_sources)
    ]
    stages = rows_of_stages(plan, stage_sources, as_read, parts)
    slices, slice_of = stage_slices(plan, stage_sources, as_read, parts)
    used = [
        UsedRows(
            stage=stage.name,
            source=name,
            rows=np.concatenate([rows.train, rows.validation, slices[own].gate, slices[own].test]),
            classes=stage.data.classes,
            place=f"stages[{index}].data",
        )
        for index, (stage, name, rows, own) in enumerate(zip(plan.stages, stage_sources, stages, slice_of, strict=True))
    ]
    of_first = {name: source for name, source in sources.items() if name not in later[1]}
    classes = class_space(plan, of_first, locations, used[: changing[0]] if changing else used)
    classes = replace(classes.with_costs(plan.costs, settled.spelling), changed=settled.changed)
    if learnt is not None:
        left_out = {name: left_out.get(name, False) | learnt.has_seen_group(source) for name, source in sources.items()}
    unknown = read_unknown_rows(reader, plan, sources, display)
    found = PlanData(
        classes,
        sources,
        parts,
        stages,
        stage_sources,
        slices,
        slice_of,
        wrong_labels=_wrong_labels(plan, sources, stages),
        spelling=settled.spelling,
        findings=findings,
        unknown=unknown,
        labels_file=file,
    )

    def with_further_rows(found: PlanData) -> PlanData:
        classes, sources = found.classes, found.sources
        slices = {**found.slices, **named_slices(plan, sources, parts, found.slices, classes, left_out)}
        if unknown is not None:
            sources = {**sources, unknown.name: unknown.source}
            classes = replace(classes, codes={**classes.codes, unknown.name: unknown.codes})
        found = replace(found, classes=classes, sources=sources, slices=slices)
        return with_earlier_rows(found, plan, reader, (learnt, start), display)

    if lists is None:
        return with_further_rows(found)
    lines = check_stages(lists, plan, [sources[name] for name in stage_sources], as_read)
    check_costs(lists, plan.costs, settled.spelling)
    if plan.scenario == "domain-incremental":
        check_domain(lists, as_read, [rows.rows for rows in used], plan)
    if display is not None:
        display.lines_once(lines)
    views = tuple(map(with_further_rows, in_each_list(found, lists, plan)))
    return replace(views[-1], lists=lists, views=views)


def _splits(plan: Plan) -> dict[str, tuple[Split, str]]:
    """Returns how each source is split, and where that stands in the plan; the plan's own source first.

    Raises:
        InputError: two stages split one source differently.
    """
    splits = {plan.data.source: (plan.data.split, "data.split")}
    asked = {plan.data.source: "data.split"}
    for index, stage in enumerate(plan.stages):
        name, place = stage.data.source or plan.data.source, f"stages[{index}].data.split"
        split = (plan.data.split, "data.split") if stage.data.split is None else (stage.data.split, place)
        if splits.setdefault(name, split)[0] != split[0]:
            raise InputError(
                f"{place}: {name} is split otherwise by {asked[name]}; a source has one split, so give both the same"
            )
        asked.setdefault(name, place)
    return splits


def _wrong_labels(
    plan: Plan, sources: Mapping[str, Source], stages: Sequence[StageRows]
) -> tuple[tuple[WrongLabels, ...], ...]:
    wrong: list[tuple[WrongLabels, ...]] = []
    for index, (stage, rows) in enumerate(zip(plan.stages, stages, strict=True)):
        name, share = stage.data.source or plan.data.source, stage.data.wrong_labels
        if share is not None and len(np.unique(sources[name].label_codes[rows.train])) < 2:
            raise InputError(
                f"stages[{index}].data.wrong_labels: the stage's rows have one class, and a wrong label needs another; "
                f"drop it, or give the stage more classes"
            )
        seed = derive_seed(plan.seed, "wrong-labels", stage.name)
        wrong.append((choose_wrong_labels(name, sources[name], rows.train, share, seed),) if share else ())
    return tuple(wrong)


def _check_inputs(plan: Plan, sources: Mapping[str, Source], locations: Mapping[str, str]) -> None:
    first = next(iter(sources.values()))
    kind = INPUT_KINDS[plan.kind.inputs]
    reads = first.kind if first.kind in kind.others else kind.name
    INPUT_KINDS[reads].check_plan(plan, first.name)
    for name, source in sources.items():
        if source.kind != reads:
            raise InputError(f"{locations[name]}: {source.name} holds {source.kind}; task {plan.task} reads {reads}")
        if source.width != first.width:
            raise InputError(
                f"{locations[name]}: a row of {source.name} has {source.width} numbers, one of {plan.data.source} "
                f"{first.width}"
            )
