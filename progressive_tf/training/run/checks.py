"""Whether a run can begin: its streams, rules and teachers; and go on here: the same registry, data and weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from progressive_tf.data.plan_data import PlanData
from progressive_tf.data.stream import read_lines
from progressive_tf.display import Display
from progressive_tf.errors import InputError, ProgressiveError, unknown_name
from progressive_tf.files import DamagedRecordError, read_json, write_json
from progressive_tf.plan.methods import AgainstVersion
from progressive_tf.plan.refusals import STANDARD_INPUT
from progressive_tf.plan.retention_methods import Distill
from progressive_tf.plan.schema import Plan, Stage
from progressive_tf.registry.folder import MANIFEST_NAME, find_damage
from progressive_tf.registry.keys import refuse_unsigned_folder
from progressive_tf.registry.versions import ModelVersions
from progressive_tf.stack import minor_version
from progressive_tf.training.run.run_folder import RunFolder
from progressive_tf.training.run.stage_record import StageRecord

if TYPE_CHECKING:  # checks that read no network are made before TensorFlow is imported
    from progressive_tf.adaptation.moved_weights import MovedWeights
    from progressive_tf.models.block_model import BlockModel

OTHERS = "other_tensorflows"
"""Key of environment.json: with which TensorFlows a run may go on, beside the one that began it."""


def check_streams(plan: Plan, folder: Path, run: RunFolder | None) -> None:
    """Raises InputError where a file that a stage is still to learn from as it grows cannot be read.

    Args:
        plan: the plan.
        folder: where its relative paths start.
        run: the run's folder, if there is one already.
    """
    for index, stage in enumerate(plan.stages):
        learnt = run is not None and StageRecord(index, stage.name, run.stage(index, stage.name)).is_trained
        if stage.data.stream not in (None, STANDARD_INPUT) and not learnt:
            try:
                next(read_lines(folder / str(stage.data.stream)), None)
            except InputError as error:
                raise InputError(f"stages[{index}].data.stream: {error}") from None


def check_rule_labels(plan: Plan, data: PlanData) -> None:
    """Raises InputError where a gate rule is about a label, or a type of entity, that the data has not."""
    for index, stage in enumerate(plan.stages):
        there = data.at(index)
        wholes = _wholes_beside(data, index)
        for position, rule in enumerate(stage.gate):
            place = f"stages[{index}].gate[{position}].metric"
            if rule.drop_allowed is not None and wholes:
                label = rule.metric.partition("/")[2]
                if label in wholes:
                    raise InputError(
                        f"{place}: {rule.metric}: the released version does not tell {label!r} apart; name "
                        f"{wholes[label]}, which both know, or ask at_least"
                    )
                if label in wholes.values():
                    continue
            check_metric_label(rule.metric, there, place, plan.kind.answers.label_word)


def _wholes_beside(data: PlanData, index: int) -> Mapping[str, str]:
    """Returns the labels of a stage that what it starts from does not tell apart → what it calls them together."""
    if not index:
        changed = data.at(0).classes.changed
    else:
        lists = data.lists
        number = 0 if lists is None else lists.number_of(index)
        begins = lists is not None and number > 0 and lists.lists[number].begins == index
        changed = lists.between(number - 1, number) if lists is not None and begins else None
    return {} if changed is None else changed.wholes


def check_rule_versions(plan: Plan, versions: ModelVersions, decided: Collection[int]) -> None:
    """Raises InputError where a gate rule compares with a version that the registry has not.

    Args:
        plan: the plan.
        versions: of its model.
        decided: indices of stages whose rules have been asked already.
    """
    for index, stage in enumerate(plan.stages):
        for position, rule in enumerate(stage.gate):
            if isinstance(rule.against, AgainstVersion) and index not in decided:
                try:
                    versions.version(rule.against.version)
                except InputError as error:
                    raise InputError(f"stages[{index}].gate[{position}].against: {error}") from None


def check_metric_label(metric: str, data: PlanData, place: str, word: str) -> None:
    """Raises InputError where a metric is about a label, called by its word, that the data has not."""
    _, separator, label = metric.partition("/")
    known = data.classes.metric_labels
    if separator and label not in known:
        raise InputError(f"{place}: {metric}: {unknown_name(word, label, known)}")


def check_registry(run: RunFolder, earlier: dict[str, Any], registry: Path) -> None:
    """Raises InputError where a run has its versions in another registry.

    Args:
        run: the run's folder.
        earlier: its environment.json.
        registry: the registry's folder now.
    """
    before = Path(earlier["registry"])
    if before != registry.resolve() and before.exists():
        raise InputError(
            f"--registry {registry}: {run.path} began with {before}, where its versions are; use that, or --fresh"
        )


def check_sources(run: RunFolder, earlier: dict[str, Any], data: PlanData) -> None:
    """Raises InputError where the content of a source, or of the labels file, is not what the run has read.

    Args:
        run: the run's folder.
        earlier: its environment.json.
        data: every row now.
    """
    for name, source in data.sources.items():
        if earlier["sources"].get(name, source.sha256) != source.sha256:
            raise InputError(
                f"{run.path}: the content of {name} has changed since this run read it; "
                f"restore it, or begin a new run with --fresh"
            )
    before, now = earlier.get("labels_file"), data.labels_file
    if before is not None and now is not None and before["sha256"] != now.sha256:
        raise InputError(
            f"{run.path}: {now.name} has changed since this run read it, and all of a run's stages have the same "
            f"labels; restore it, or begin a new run, with start: stable in its plan or with --fresh"
        )


def check_base(
    run: RunFolder, earlier: dict[str, Any], base_sha256: str, now: dict[str, Any], display: Display
) -> None:
    """Raises ProgressiveError where a run began from other weights; says which packages or code have changed.

    Args:
        run: the run's folder.
        earlier: its environment.json.
        base_sha256: hash of the weights that the network has now.
        now: the environment of this process.
        display: where changes are said.
    """
    before = earlier["start"]["weights_sha256"]
    if before != base_sha256:
        raise ProgressiveError(
            f"{run.path}: began from weights {before[:12]}, the plan's model now has {base_sha256[:12]}; "
            f"restore the weights file, the builder's code and the package versions, or begin a new run with --fresh. "
            f"Of a builder of your own `python -m progressive_tf.models check` says whether it gives the same weights "
            f"twice"
        )
    changed = [name for name, number in now["packages"].items() if earlier["packages"].get(name) != number]
    if now["code"] != earlier["code"]:
        changed.append("progressive_tf's code")
    if changed:
        display.line(f"note: {', '.join(changed)} changed since this run began; results may differ in the last digits")


def check_tensorflow(run: RunFolder, now: dict[str, Any]) -> None:
    """Raises InputError where a run began on another TensorFlow and nobody has asked to go on with this one.

    Args:
        run: the run's folder.
        now: the environment of this process.
    """
    earlier, here = run.environment, now["packages"]["tensorflow"]
    if earlier is None or minor_version(here) in _tensorflows(earlier):
        return
    began = f"TensorFlow {earlier['packages']['tensorflow']} on Python {earlier['python']}"
    raise InputError(
        f"{run.path}: began with {began}, and this is TensorFlow {here} on Python {now['python']}: what follows would "
        f"not be the same to the bit. Go on in an environment like the first, begin a new run with --fresh, or go on "
        f"here with `train --any-tensorflow`, which is asked for once"
    )


def go_on_here(run: RunFolder, display: Display) -> None:
    """Notes that a run may go on with the TensorFlow of this process, whichever it began with, and says so."""
    earlier, here = run.environment, version("tensorflow")
    if earlier is None or minor_version(here) in _tensorflows(earlier):
        display.line("no effect: --any-tensorflow, as the run was begun or continued with this one")
        return
    write_json(run.environment_file, earlier | {OTHERS: [*earlier.get(OTHERS, ()), minor_version(here)]})
    began = earlier["packages"]["tensorflow"]
    display.line(f"going on with TensorFlow {here} where {began} began: results are no longer the same to the bit")


def _tensorflows(earlier: dict[str, Any]) -> set[str]:
    return {minor_version(earlier["packages"]["tensorflow"]), *earlier.get(OTHERS, ())}


def check_head(stage: Stage, network: BlockModel) -> None:
    """Raises InputError where a head is to begin as means of classes, or to be divided by a temperature, and is not one
    dense layer.
    """
    if stage.calibrate != "none" and not network.has_linear_head:
        raise InputError(
            f"calibrate: divides the weights of one dense layer, and the head of this network is another one "
            f"({type(network.head).__name__}); drop it"
        )
    if stage.head.init == "prototypes" and not network.has_linear_head:
        raise InputError(
            f"head.init: prototypes are weights of one dense layer, and the head of this network is another one "
            f"({type(network.head).__name__}); drop it"
        )


def check_unknown_inputs(plan: Plan, data: PlanData, network: BlockModel) -> None:
    """Raises InputError where a plan asks which inputs are unknown, and its network or its rows cannot tell."""
    if plan.unknown_inputs is None:
        return
    if not network.has_linear_head:
        raise InputError(
            f"unknown_inputs: a score is of what one dense layer reads, and the head of this network is another one "
            f"({type(network.head).__name__}); drop it"
        )
    for index, (stage, rows) in enumerate(zip(plan.stages, data.stages, strict=True)):
        if not len(rows.validation):
            raise InputError(
                f"unknown_inputs: the threshold is read from validation rows, and stages[{index}] ({stage.name}) has "
                f"none; raise data.split.validation, or give the stage more rows"
            )


def check_retention(stage: Stage, place: str, inherited: Collection[str], moved: MovedWeights) -> None:
    """Refuses what cannot be combined with the adaptation of a stage that others come before.

    Args:
        stage: the plan's section.
        place: where it stands.
        inherited: names of the weights that the stages before have.
        moved: what the stage moves.

    Raises:
        InputError: with the reason.
    """
    new = [weight.name for weight in moved.weights if weight.name not in inherited]
    if stage.retention.ewc is not None and new:
        raise InputError(
            f"{place}.retention.ewc: holds weights near what earlier stages left, and adaptation.method "
            f"{stage.adaptation.method} trains weights that are new in this stage, such as {new[0]}; use replay or "
            f"lwf, or another adaptation"
        )


def is_folder(settings: Distill) -> bool:
    """Whether a teacher stands in a folder, and thus has to be there when a run begins: versions may come with it."""
    return isinstance(settings.teacher, str) and settings.teacher != "stable"


def check_teacher(stage: Stage, place: str, versions: ModelVersions, folder: Path) -> None:
    """Refuses a teacher that is not there.

    Raises:
        InputError: says what is missing.
    """
    settings = stage.retention.distill
    if settings is None:
        return
    try:
        find_teacher(settings, versions, folder)
    except InputError as error:
        raise InputError(f"{place}.{error}") from None


def warnings_about(plan: Plan) -> Iterator[str]:
    """Yields what is known to fail about a plan's retention."""
    for stage in plan.stages[1:]:
        if plan.scenario == "class-incremental" and set(stage.retention.methods) - {"average"} == {"ewc"}:
            yield (
                f"{stage.name}: EWC alone does not tell apart classes that are never seen together; published studies "
                f"of class-incremental learning find it near chance (van de Ven & Tolias 2019); add replay or lwf"
            )


def find_teacher(settings: Distill, versions: ModelVersions, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Returns the folder of a teacher and its classes.

    Args:
        settings: the plan's section.
        versions: of the plan's model.
        folder: where relative paths start from.

    Raises:
        InputError: there is no such teacher, or it is damaged.
    """
    place = f"retention.distill.teacher: {settings.teacher}"
    if isinstance(settings.teacher, str) and settings.teacher != "stable":
        refuse_unsigned_folder(folder / settings.teacher)
        return _exported(folder / settings.teacher, place)
    number = versions.aliases().get("stable") if settings.teacher == "stable" else settings.teacher
    if number is None:
        raise InputError(f"{place}: {versions.name} has no stable version yet; name a version or an exported folder")
    try:
        version = versions.version(int(number))
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    damage = find_damage(version.folder, version.number, version.manifest_sha256)
    if damage:
        raise InputError(f"{place}: version {number} is damaged ({damage[0].file}: {damage[0].problem}); name another")
    return _exported(version.folder, place)


def _exported(folder: Path, place: str) -> tuple[Path, tuple[str, ...]]:
    expected = ("saved_model.pb", MANIFEST_NAME, "variables/variables.index")
    missing = [name for name in expected if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{place}: {folder} holds no exported version; {missing[0]} is missing")
    try:
        manifest: dict[str, Any] = read_json(folder / MANIFEST_NAME)
        return folder, tuple(manifest["labels"])
    except (DamagedRecordError, KeyError, TypeError):
        raise InputError(f"{place}: {folder}/manifest.json is not a version's, or damaged; export it again") from None
