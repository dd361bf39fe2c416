"""What a trained stage hands over to become a version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from progressive_tf.plan.tasks import Inputs


@dataclass(frozen=True)
class StagedVersion:
    """A stage that is ready to become a version; nothing is built until `export` is called.

    Args:
        model: the model's name in the registry, which is the plan's name.
        run: the run's id, which is the name of the run's folder.
        stage: the stage's name; one (run, stage) becomes at most one version.
        weights_sha256: hash of the trained weights, equal for the same stage exported twice.
        parent: number of the version of this model that training started from, or None for pretrained weights.
        task: what it answers, as plans write it.
        input_kind: what a row is for it: texts, words, images, columns or vectors.
        labels: the classes in the order of the served probabilities.
        plan_sha256: hash of the resolved plan.
        data_sha256: hash of the rows the stage consumed.
        code_sha256: hash of the package's code.
        environment: content of the run's environment.json; plain JSON.
        metrics: figures to keep with the version, e.g. {"accuracy": 0.81}; plain JSON, null for what is missing.
        decision: content of the stage's decision.json.
        export: writes a SavedModel into the folder it is given, which exists and is empty.
        additions: what adaptation methods have added to the network, as plain JSON; needed to train it on.
        preprocessing: what its preprocessing has learnt from data, as plain JSON; None where that is nothing.
        release: the steps in which it is to reach its callers, as the plan has them; None for all at once.
        inputs: what a caller has to know of raw inputs beside their type, as plain JSON by name.
        normalize_labels: how else its labels may be written, as the plan has it; None where they may not.
        abstain: when it does not answer, and what showed that, as plain JSON; None where it always answers.
        costs: of wrong answers, which it decides by, {true class: {answer: cost}}; None: the most probable is answered.
        labels_before: the `version` whose `labels` were called otherwise, {old: [new]}; None where none were.
        labels_file: what labels were called before, and since when they are not, as its plan's file has it: its `name`,
            `sha256` and `changes`, each `old`, `new` and `from`; None without one.
        ensemble: whether other stages' networks answer with it; they cannot be trained on from the version.
    """

    model: str
    run: str
    stage: str
    weights_sha256: str
    parent: int | None
    task: str
    input_kind: Inputs
    labels: tuple[str, ...]
    plan_sha256: str
    data_sha256: str
    code_sha256: str
    environment: Mapping[str, Any]
    metrics: Mapping[str, Any]
    decision: Mapping[str, Any]
    export: Callable[[Path], None]
    additions: Sequence[Mapping[str, Any]] = ()
    preprocessing: Mapping[str, Any] | None = None
    release: Mapping[str, Any] | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    ensemble: bool = False
    normalize_labels: str | Mapping[str, str] | None = None
    abstain: Mapping[str, Any] | None = None
    costs: Mapping[str, Mapping[str, float]] | None = None
    labels_before: Mapping[str, Any] | None = None
    labels_file: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Forced:
    """That a person overruled the gate, and why; who and when are the journal's.

    Args:
        reason: one sentence, not empty.
    """

    reason: str
