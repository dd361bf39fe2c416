"""The registry version that a run starts from, found without TensorFlow."""

from __future__ import annotations

from progressive_tf.data.learnt import Learnt
from progressive_tf.data.start_labels import StartLabels
from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.plan.refusals import SAME_OUTPUTS
from progressive_tf.plan.schema import Plan
from progressive_tf.registry.folder import find_damage
from progressive_tf.registry.label_lineage import LabelLineage
from progressive_tf.registry.version import Version
from progressive_tf.registry.versions import ModelVersions
from progressive_tf.training.fitting.locations import EXTRA


def start_labels(plan: Plan, start: Version | None, lineage: LabelLineage) -> StartLabels | None:
    """Returns the labels of the version that a run starts from, with what the plan says of them.

    None where it starts from none, and where the stages say which classes there are.
    """
    labels = tuple(((None if start is None else start.manifest()) or {}).get("labels", ()))
    if start is None or not labels or plan.scenario not in SAME_OUTPUTS:
        return None
    return StartLabels(start.number, labels, plan.stages[0].labels, lineage.old_words(start.number))


def learnt_by_version(version: Version) -> Learnt | None:
    """Returns the rows that a version was trained and chosen on; None where it does not say."""
    return Learnt.read(version.folder / EXTRA, f"version {version.number}")


def find_start(plan: Plan, versions: ModelVersions, started_from: int | None = None) -> Version | None:
    """Returns the version that a plan starts from, or None where it starts from none.

    Args:
        plan: says what it starts from.
        versions: of the plan's model.
        started_from: the version that the run started from, where it has begun: `stable` may have moved since.

    Raises:
        InputError: there is no such version, or it is an ensemble.
        ProgressiveError: it is damaged.
    """
    if not plan.starts_from_version:
        return None
    if started_from is not None:
        number = started_from
    elif isinstance(plan.start, int):
        number = versions.version(plan.start).number
    else:
        stable = versions.aliases().get("stable")
        if stable is None:
            raise InputError(f"start: stable: {plan.name} has no stable version yet; set start: pretrained")
        number = stable
    version = versions.version(number)
    damage = find_damage(version.folder, number, version.manifest_sha256)
    if damage:
        raise ProgressiveError(
            f"start: {versions.name} version {number} is damaged ({damage[0].file}: {damage[0].problem}); "
            f"see `python -m progressive_tf.release verify`"
        )
    if (version.manifest() or {}).get("ensemble"):
        raise InputError(
            f"start: version {number} is an ensemble of several stages' networks, which cannot be trained on as one; "
            f"name another version, or end its last stage with a soup"
        )
    return version
