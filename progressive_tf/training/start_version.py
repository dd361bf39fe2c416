"""The registry version that a run starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progressive_tf.errors import InputError, ProgressiveError, listed
from progressive_tf.plan.schema import Plan
from progressive_tf.registry.folder import find_damage
from progressive_tf.registry.version import Version
from progressive_tf.registry.versions import ModelVersions
from progressive_tf.training.plan_data import PlanData

if TYPE_CHECKING:
    from progressive_tf.models.block_model import BlockModel


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
    if plan.start != "stable" and not isinstance(plan.start, int):
        return None
    if started_from is not None:
        number = started_from
    elif plan.start == "stable":
        stable = versions.aliases().get("stable")
        if stable is None:
            raise InputError(f"start: stable: {plan.name} has no stable version yet; set start: pretrained")
        number = stable
    else:
        number = versions.version(plan.start).number
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


def load_start(version: Version, network: BlockModel, data: PlanData, seed: int) -> None:
    """Puts a network at a version's weights.

    Args:
        version: as `find_start` gives it.
        network: changed in place.
        data: says which classes there are.
        seed: the plan's.

    Raises:
        InputError: the version is another network's.
    """
    # Whether there is a version to start from is found out without TensorFlow.
    from progressive_tf.adaptation.catalogue import restore_additions
    from progressive_tf.models.class_growth import set_classes
    from progressive_tf.training.checkpoint import weights_sha256
    from progressive_tf.training.saved_model import read_exported_weights

    number, manifest = version.number, version.manifest()
    served = tuple(manifest["labels"]) if manifest else ()
    other_kind = bool(served) != bool(data.outputs)
    if other_kind or served != data.outputs[: len(served)] or (served != data.outputs and not data.classes.grow):
        there, here = (listed(labels) or "texts, no classes" for labels in (served, data.outputs))
        apart = next((pair for pair in zip(served, data.outputs, strict=False) if pair[0] != pair[1]), None)
        first = f"; the first that differ are {apart[0]!r} and {apart[1]!r}" if apart else ""
        raise InputError(f"start: version {number} predicts {there}; the plan has {here}{first}")
    set_classes(network, served, data.classes.label_tasks[: len(served)], seed)
    try:
        restore_additions(network, (manifest or {}).get("additions", []))
    except ValueError as error:
        raise InputError(f"start: version {number} is of another network than this plan's model: {error}") from None
    read_exported_weights(version.folder, network)
    if weights_sha256(network.named_weights()) != version.weights_sha256:
        raise InputError(
            f"start: version {number} was trained with another model section than this plan's; use the same"
        )
