"""The mixture of a stage with those before it: its share chosen on validation rows, and kept with the stage."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.adaptation.catalogue import merge_additions
from progressive_tf.adaptation.moved_weights import MovedWeights, move_where
from progressive_tf.errors import InputError
from progressive_tf.files import read_json, write_json
from progressive_tf.models.block_model import assign_weights, read_weights
from progressive_tf.plan.retention_methods import EnsembleAverage, Mixture, SoupAverage
from progressive_tf.retention.average import Tried, between, candidates, choose, judged, mean, quality
from progressive_tf.training.answers.predictions_file import Scored, Wanted, predict_rows
from progressive_tf.training.fitting.checkpoint import Arrays
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord

VALIDATION = "validation"


@dataclass(frozen=True)
class Mixing:
    """What a stage is to be mixed with.

    Attributes:
        run: the run.
        stage: the stage.
        parent: the stage it starts from, or None.
        settings: the plan's section.
        line: the stages it builds on, oldest first.
        members: those that it is mixed with; none where it is mixed with the weights that it started from.
    """

    run: Run
    stage: StageRecord
    parent: StageRecord | None
    settings: Mixture
    line: tuple[StageRecord, ...]
    members: tuple[StageRecord, ...]


def find_mixing(run: Run, stage: StageRecord, parent: StageRecord | None) -> Mixing | None:
    """Returns what a stage's weights or answers are to be mixed with when it is trained, or None.

    Raises:
        InputError: stages that did not start from one another, or that have other weights.
    """
    settings = run.settings(stage).retention.average
    if not isinstance(settings, Mixture):
        return None
    line = run.line(parent)
    members: list[StageRecord] = []
    if isinstance(settings, SoupAverage | EnsembleAverage):
        place = f"stages[{stage.index}].retention.average"
        names = [earlier.name for earlier in line]
        for name in settings.stages or ():
            if name not in names:
                raise InputError(
                    f"{place}.stages: {stage.name} does not build on {name}, which was not released before the stages "
                    f"in between began; it builds on {', '.join(names) or 'none'}: name some of these"
                )
        members = [earlier for earlier in line if settings.stages is None or earlier.name in settings.stages]
    mixing = Mixing(run, stage, parent, settings, tuple(line), tuple(members))
    if isinstance(settings, SoupAverage):
        _check_same_weights(mixing)
    has_start = parent is not None or run.start.version is not None
    if members or (has_start and not isinstance(settings, SoupAverage | EnsembleAverage)):
        return mixing
    run.display.line(f"{stage.name}: no {settings.kind}, because no released stage comes before it")
    return None


def mix(mixing: Mixing, moved: MovedWeights, validation: np.ndarray) -> MovedWeights:
    """Puts the network, at a stage's own weights, at what the stage ends with; returns what moved to get there.

    What was tried and chosen stands in `retention/average.json` from then on.

    Args:
        mixing: with what.
        moved: the weights that the stage trained.
        validation: its validation rows.
    """
    started = time.perf_counter()
    run, stage, cache = mixing.run, mixing.stage, mixing.run.plan.stages[mixing.stage.index].cache
    wanted = _validation_rows(mixing, validation)
    earlier = {key: rows for key, rows in wanted.items() if key[1] != stage.name}
    if isinstance(mixing.settings, EnsembleAverage):
        values = read_weights(moved.weights)
        own = predict_rows(run.features, wanted, moved.frozen_depth, cache)
        others = _mean_answers([answers(run, member, wanted, own_weights=True) for member in mixing.members])
        before = _accuracies(answers(run, mixing.parent, earlier))
        tried = [_tried(mixing, share, mixed(others, own, share), before) for share in _shares(mixing)]
        _settle(mixing, tried, wanted, started)
        run.load(mixing.parent)
        moved = run.adapt(stage.index)[-1]
        assign_weights(moved.weights, values)
        return moved
    merge_additions(run.network)
    own_weights = read_weights(run.network.named_weights())
    before = _accuracies(answers(run, mixing.parent, earlier))
    other_weights = (
        mean(_weights_for(mixing, member) for member in mixing.members)
        if mixing.members
        else _weights_for(mixing, mixing.parent)
    )
    run.load(mixing.parent)
    inherited = read_weights(run.network.named_weights())
    run.adapt(stage.index)
    merge_additions(run.network)

    def moved_by(weights: Arrays) -> MovedWeights:
        same = {name for name, value in inherited.items() if np.array_equal(value, weights[name])}
        changed = weights.keys() - same
        return move_where(run.network, lambda block, weight: weight.name in changed)

    depth = min(moved_by(other_weights).frozen_depth, moved_by(own_weights).frozen_depth)
    tried = []
    for share in _shares(mixing):
        assign_weights(run.network.named_weights(), between(other_weights, own_weights, share))
        scored = predict_rows(run.features, wanted, depth, cache)
        tried.append(_tried(mixing, share, scored, before))
    chosen = between(other_weights, own_weights, _settle(mixing, tried, wanted, started).coefficient)
    assign_weights(run.network.named_weights(), chosen)
    return moved_by(chosen)


def mixture_facts(stage: StageRecord) -> dict[str, Any] | None:
    """Returns what was mixed into a trained stage, or None."""
    path = _file(stage)
    return read_json(path) if path.exists() else None


def ensemble_of(run: Run, stage: StageRecord | None) -> list[tuple[StageRecord, float]]:
    """Returns the earlier stages whose answers are mixed into a trained stage's, with the share of each."""
    facts = mixture_facts(stage) if stage is not None and stage.is_trained else None
    if facts is None or facts["kind"] != "ensemble":
        return []
    members = [record for record in run.stages if record.name in facts["stages"]]
    return [(record, (1 - facts["coefficient"]) / len(members)) for record in members]


def answers(
    run: Run, stage: StageRecord | None, wanted: Wanted, loaded: bool = False, own_weights: bool = False
) -> Scored:
    """Returns what a trained stage, or what the run starts from, says about rows.

    Args:
        run: the run; its network is put at the stage's weights.
        stage: None for the weights that the run starts from.
        wanted: the rows.
        loaded: whether the network already is there.
        own_weights: leave out the answers of other stages that an ensemble adds.
    """
    cache = run.plan.stages[stage.index if stage is not None else 0].cache
    others = [] if own_weights else ensemble_of(run, stage)
    parts = [answers(run, record, wanted, own_weights=True) for record, _ in others]
    if not loaded or others:
        run.load(stage)
    own = predict_rows(run.features, wanted, run.frozen_depth(stage), cache)
    if not others:
        return own
    return mixed(_mean_answers(parts), own, 1 - sum(share for _, share in others))


def mixed(others: Scored, own: Scored, share: float) -> Scored:
    """Returns (1 − share) · others + share · own, with the classes that `own` knows."""
    return Scored(
        {key: prediction.mix(others.predictions[key], share) for key, prediction in own.predictions.items()}, own.rows
    )


def _file(stage: StageRecord) -> Path:
    return stage.folder / "retention" / "average.json"


def _check_same_weights(mixing: Mixing) -> None:
    """Refuses a soup of networks of which one has weights that another has not."""
    expected = set(_weights_for(mixing, mixing.parent))
    for member in mixing.members:
        missing = sorted(expected - set(_weights_for(mixing, member)))
        if missing:
            raise InputError(
                f"stages[{mixing.stage.index}].retention.average: a soup needs the same weights in every stage; "
                f"{member.name} has no {missing[0]}, which a later stage has added; use wise-ft or ensemble, or name "
                f"other stages"
            )


def _weights_for(mixing: Mixing, record: StageRecord | None) -> Arrays:
    """Returns the weights of an earlier stage in the form that the network has after this one."""
    run = mixing.run
    run.load(record)
    run.adapt(mixing.stage.index)
    merge_additions(run.network)
    return read_weights(run.network.named_weights())


def _validation_rows(mixing: Mixing, validation: np.ndarray) -> Wanted:
    sources = mixing.run.data.stage_sources
    wanted: Wanted = {}
    for record in mixing.line:
        rows = record.rows()
        if rows is not None and len(rows[1]):
            wanted[VALIDATION, record.name] = (sources[record.index], rows[1])
    return wanted | {(VALIDATION, mixing.stage.name): (sources[mixing.stage.index], validation)}


def _shares(mixing: Mixing) -> tuple[float, ...]:
    given = mixing.settings.coefficient
    return candidates(max(1, len(mixing.members))) if given is None else (given,)


def _mean_answers(parts: list[Scored]) -> Scored:
    total = parts[0]
    for count, part in enumerate(parts[1:], start=2):
        total = mixed(total, part, 1 / count)
    return total


def _accuracies(scored: Scored) -> dict[str, float]:
    return {name: quality(prediction) for (_, name), prediction in scored.predictions.items()}


def _tried(mixing: Mixing, share: float, scored: Scored, before: dict[str, float]) -> Tried:
    by_name = {name: prediction for (_, name), prediction in scored.predictions.items()}
    own = by_name.pop(mixing.stage.name)
    return judged(share, own, by_name, before)


def _settle(mixing: Mixing, tried: list[Tried], wanted: Wanted, started: float) -> Tried:
    settings, stage = mixing.settings, mixing.stage
    best = choose(tried, settings.drop_at_most)
    names = [record.name for record in mixing.members]
    chosen = settings.coefficient is None
    write_json(
        _file(stage),
        {
            "kind": settings.kind,
            "coefficient": best.coefficient,
            "chosen": chosen,
            "stages": names,
            "rows": sum(len(rows) for _, rows in wanted.values()),
            "bytes": 0,
            "seconds": round(time.perf_counter() - started, 3),
            "tried": [asdict(attempt) for attempt in tried],
        },
    )
    others = f"the mean of {', '.join(names)}" if names else "what it started from"
    mixing.run.display.line(
        f"{stage.name}: {settings.kind} of {best.coefficient:.2g} of its own and {1 - best.coefficient:.2g} of "
        f"{others}: validation {mixing.run.plan.kind.answers.matrix_metric.replace('_', ' ')} {best.accuracy:.4f}"
        + (f", at most {max(best.worst_drop, 0.0):.4f} lost on an earlier stage's" if best.drops else "")
    )
    if chosen and best.worst_drop > settings.drop_at_most:
        mixing.run.display.line(
            f"{stage.name}: no share loses as little as drop_at_most {settings.drop_at_most:g}; this one loses least"
        )
    return best
