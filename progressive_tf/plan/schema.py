"""The plan: what a user asks for, checked before anything runs."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticKnownError

from progressive_tf.errors import InputError, listed
from progressive_tf.plan.adaptation_methods import Adaptation, HeadAdaptation
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.label_changes import LabelChanges, problem_with_label_changes
from progressive_tf.plan.label_rules import LabelCosts, Labels, NormalizeLabels
from progressive_tf.plan.methods import (
    Abstain,
    Augmentation,
    Cache,
    Contrastive,
    CrossEntropy,
    EarlyStopping,
    HeadStart,
    Loss,
    Optimizer,
    PlateauSchedule,
    Probes,
    PromptStart,
    Quality,
    Schedule,
    Share,
    Strict,
    TokenBudget,
    tuple_from_list,
)
from progressive_tf.plan.metric_names import ABSTAINING_METRICS, EXPECTED_COST
from progressive_tf.plan.networks import Network, Text
from progressive_tf.plan.refusals import (
    SAME_OUTPUTS,
    STANDING_SLICES,
    TASK_INCREMENTAL,
    Asked,
    problem_with_drops,
    problem_with_stages,
    problem_with_stream_keys,
    refusals,
)
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.plan.retention_methods import EnsembleAverage, Retention, RunningAverage
from progressive_tf.plan.split import GateRefresh, Split
from progressive_tf.plan.sweep import Tune
from progressive_tf.plan.table_columns import Columns, TableColumns
from progressive_tf.plan.tasks import TASKS, Task
from progressive_tf.plan.unknown_inputs import UnknownInputs, problem_with_unknown_inputs

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
RivalName = Literal["ncm", "slda", "logistic-regression"]
# Keys of `data` that came after the first runs were made, and what plans without them have.
LATER_DATA_KEYS: dict[str, Any] = {
    "folders": None,
    "leave_out": [],
    "decimal": None,
    "normalize_labels": None,
    "gate_refresh": None,
    "earlier": {},
    "labels_file": None,
}


def _as_text(value: Any) -> Any:
    return str(value) if type(value) is int and value >= 1 else value


ColumnOrNumber = Annotated[Text, BeforeValidator(_as_text)]


def _asked(part: BaseModel) -> Asked:
    return Asked(part.model_dump(), part.model_dump(exclude_defaults=True))


def _task_name(value: Any) -> Any:
    if not isinstance(value, str) or value not in TASKS:
        *others, last = map(repr, TASKS)
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(others)} or {last}"})
    return value


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _storage(value: Any) -> Any:
    return {"storage": "off"} if value == "off" else value


class Data(Strict):
    """Where examples come from, and which of them are kept for evaluation.

    `task` names the column that says each row's task, in scenario task-incremental; without it, each stage is a task.
    """

    source: Text
    folders: Literal["classes", "parts"] | None = None
    text: Text = "text"
    image: Text = "image"
    label: Text = "label"
    tokens: ColumnOrNumber = "tokens"
    tags: ColumnOrNumber = "tags"
    target: Text = "target"
    features: TableColumns | None = None
    leave_out: Columns = ()
    decimal: Literal[".", ","] | None = None
    labels: Annotated[Labels, Field(min_length=2)] | None = None
    normalize_labels: NormalizeLabels | None = None
    labels_file: Text | None = None
    task: Text | None = None
    split: Split = Split()
    gate_refresh: GateRefresh | None = None
    quality: Quality = Quality()
    slices: dict[Name, Text] = Field(default_factory=dict)
    validation_sets: dict[Name, Text] = Field(default_factory=dict)
    earlier: dict[Name, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Data:
        if self.labels is not None and len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: each label once; got {listed(self.labels)}")
        if self.features is not None and self.label in self.features.names:
            raise ValueError(f"features: {self.label!r} is the label; take it out")
        if self.features is not None and self.leave_out:
            raise ValueError("leave_out: features names the columns that are read; drop one of the two")
        names = Counter([*self.named_slices, *STANDING_SLICES])
        taken = sorted(name for name, count in names.items() if count > 1)
        if taken:
            raise ValueError(f"slice name {taken[0]!r} is already taken; choose another")
        return self

    @property
    def named_slices(self) -> tuple[str, ...]:
        """The slices that the plan names, beside those of its stages."""
        return (*self.slices, *self.validation_sets, *self.earlier)


class StageData(Strict):
    """The rows a stage adds or uses: how many of which source, of which classes; or a stream that it learns from.

    The rows of a `stream` are answered and then learnt as they come; `source` then has the rows for evaluation alone.

    `wrong_labels` gives this share of the training rows another class on purpose, as an experiment; validation, gate
    and test rows keep theirs, and so do these rows in every other stage.
    """

    take: Annotated[int, Field(ge=1)] | None = None
    take_new: Annotated[int, Field(ge=1)] | None = None
    all: Literal[True] | None = None
    source: Text | None = None
    where: Text | None = None
    classes: Annotated[Labels, Field(min_length=1)] | None = None
    split: Split | None = None
    wrong_labels: Share | None = None
    stream: Text | None = None
    micro_batch: int = Field(default=32, ge=1)
    window: int = Field(default=1000, ge=1)
    candidate_every: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _streams_come_as_they_are(self) -> StageData:
        problem = problem_with_stream_keys(_asked(self))
        if problem is not None:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _splits_a_source_of_its_own(self) -> StageData:
        if self.split is not None and self.source is None:
            raise ValueError("split: is for a stage's own source; name one, or change data.split")
        return self

    @model_validator(mode="after")
    def _says_which_rows(self) -> StageData:
        sizes = [key for key in ("take", "take_new", "all") if getattr(self, key) is not None]
        if len(sizes) > 1:
            raise ValueError(f"{' and '.join(sizes)} exclude one another; keep one")
        if not sizes and not any((self.source, self.where, self.classes, self.stream)):
            raise ValueError("says no rows; give take, take_new, all: true, source, where, classes or stream")
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes: each class once; got {listed(self.classes)}")
        return self


class Stage(Strict):
    """One step of the plan: data, adaptation, training and the gate it must pass.

    `readapt` measures means and variances of a table's numbers again, on this stage's training rows; later stages keep
    them. It changes what the network reads: weights that moved with the earlier ones may fit less, and those that are
    frozen in this stage cannot follow. Categories stay those of the first stage; a stage with new ones is refused.
    """

    name: Name
    data: StageData
    epochs: int = Field(default=20, ge=1)
    batch_size: Annotated[int, Field(ge=1)] | TokenBudget = 16
    optimizer: Optimizer = Optimizer()
    schedule: Annotated[Schedule, BeforeValidator(_named)] = PlateauSchedule(name="plateau")
    early_stopping: EarlyStopping | None = EarlyStopping()
    adaptation: Adaptation = HeadAdaptation(method="head")
    head: HeadStart = HeadStart()
    retention: Retention = Retention()
    gate: Annotated[tuple[GateRule, ...], BeforeValidator(tuple_from_list), Field(min_length=1)]
    loss: Annotated[Loss, BeforeValidator(_named)] = CrossEntropy(name="cross-entropy")
    objective: Annotated[Contrastive | None, BeforeValidator(_named)] = None
    pooling: Literal["mean", "pooler"] = "mean"
    block_decay: float | None = Field(default=None, ge=1)
    continual_evaluation: Annotated[int, Field(ge=1)] | None = None
    cache: Annotated[Cache, BeforeValidator(_storage)] = Cache()
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    distribute: Literal["none", "mirrored"] = "none"
    image_size: int = Field(default=224, ge=8, le=1024)
    augmentation: Augmentation | None = None
    readapt: bool = False
    crf: bool = False
    calibrate: Literal["none", "temperature"] = "none"
    abstain: Abstain | None = None
    labels: LabelChanges | None = None
    tune: Tune | None = None
    release: ReleaseSchedule | None = None

    @model_validator(mode="after")
    def _methods_fit_together(self) -> Stage:
        if self.retention.replay is not None and isinstance(self.batch_size, TokenBudget):
            raise ValueError("retention.replay: mixes a share of examples into each batch; batch_size must be a number")
        looks_at_logits = [name for name in self.retention.methods if name not in ("ewc", "average")]
        if self.objective is not None and looks_at_logits:
            raise ValueError(
                f"retention.{looks_at_logits[0]}: objective contrastive trains on pairs before there are outputs to "
                f"keep; use ewc, or drop one of the two"
            )
        if self.optimizer.carry_state and isinstance(self.retention.average, RunningAverage):
            raise ValueError(
                f"optimizer.carry_state: retention.average {self.retention.average.kind} begins anew in each stage; "
                f"drop one of the two"
            )
        if self.calibrate != "none" and isinstance(self.retention.average, EnsembleAverage):
            raise ValueError(
                "calibrate: a temperature is that of one network, and an ensemble has several; drop one of the two"
            )
        if self.abstain is not None and isinstance(self.retention.average, EnsembleAverage):
            raise ValueError(
                "abstain: a threshold is that of one network, and an ensemble has several; drop one of the two"
            )
        if self.tune is not None and isinstance(self.retention.average, EnsembleAverage):
            raise ValueError("tune: a trial measures one network, and an ensemble has several; drop one of the two")
        return self

    @model_validator(mode="after")
    def _measures_what_it_abstains_from(self) -> Stage:
        if self.tune is not None and self.tune.metric in ABSTAINING_METRICS:
            raise ValueError(f"tune.metric: a trial answers everything, so {self.tune.metric} says nothing of it")
        for position, rule in enumerate(self.gate):
            if rule.metric in ABSTAINING_METRICS and self.abstain is None:
                raise ValueError(
                    f"gate[{position}].metric: {rule.metric} is of a stage that abstains, and this one answers "
                    f"everything; add abstain: {{error_at_most: 0.05}}, or drop the rule"
                )
        return self


class Plan(Strict):
    """A whole plan, with the defaults already merged into every stage."""

    name: Name
    task: Annotated[str, BeforeValidator(_task_name), WithJsonSchema({"enum": list(TASKS), "type": "string"})]
    scenario: Literal["data-incremental", "domain-incremental", "class-incremental", "task-incremental"] = (
        "data-incremental"
    )
    seed: int = Field(default=0, ge=0, lt=2**31)
    model: Network
    data: Data
    start: Literal["pretrained", "stable", "prompt"] | Annotated[int, Field(ge=1)] | PromptStart = "pretrained"
    probes: Probes | None = None
    rivals: Annotated[tuple[RivalName, ...], BeforeValidator(tuple_from_list)] | None = None
    costs: LabelCosts | None = None
    unknown_inputs: UnknownInputs | None = None
    on_hold: Literal["stop", "continue"] = "stop"
    stages: Annotated[tuple[Stage, ...], BeforeValidator(tuple_from_list), Field(min_length=1)]

    @field_validator("stages")
    @classmethod
    def _stages_fit_together(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        problem = problem_with_stages([stage.model_dump() for stage in stages])
        if problem is not None:
            raise ValueError(problem)
        return stages

    @model_validator(mode="after")
    def _asks_what_it_can_have(self) -> Plan:
        problem = next(refusals(self.kind, _asked(self)), None)
        if problem is None:
            problem = problem_with_label_changes(self.model_dump())
        if problem is None and self.unknown_inputs is not None:
            problem = problem_with_unknown_inputs(self.scenario, [stage.model_dump() for stage in self.stages])
        if problem is not None:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _earlier_rows_are_a_versions(self) -> Plan:
        if self.data.earlier and not self.starts_from_version:
            raise ValueError("data.earlier: is for what a version has learnt; set start: stable, or drop it")
        if self.data.earlier and self.scenario not in SAME_OUTPUTS:
            raise ValueError(f"data.earlier: needs all classes from the start; drop it for {self.scenario}")
        return self

    @model_validator(mode="after")
    def _costs_can_be_heeded(self) -> Plan:
        for index, stage in enumerate(self.stages):
            asked = {f"gate[{position}]": rule.metric for position, rule in enumerate(stage.gate)}
            asked |= {} if stage.tune is None or stage.tune.metric is None else {"tune": stage.tune.metric}
            for place, metric in asked.items():
                if metric == EXPECTED_COST and self.costs is None:
                    raise ValueError(f"stages[{index}].{place}.metric: {metric} needs costs; add some")
            if self.costs is not None and stage.data.stream is not None:
                raise ValueError(
                    f"costs: the rows of stages[{index}] are a stream's, answered by what is most probable"
                )
        if self.costs is not None and self.scenario == TASK_INCREMENTAL:
            raise ValueError(f"costs: in {self.scenario} a row's own task says which answers it can have; drop it")
        return self

    def about_to_run(self, place: str) -> Plan:
        """Returns the plan.

        Raises:
            InputError: it asks what plans of earlier releases could, whose runs can still be read; `place` names it.
        """
        problem = problem_with_drops([stage.model_dump() for stage in self.stages])
        if problem is not None:
            raise InputError(f"{place}: {problem}")
        return self

    @property
    def starts_from_version(self) -> bool:
        """Whether its run starts from a released version."""
        return self.start == "stable" or isinstance(self.start, int)

    @property
    def kind(self) -> Task:
        """The kind of its task: what a row is, what is answered about it, and what follows from that."""
        return TASKS[self.task]
