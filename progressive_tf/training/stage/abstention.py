"""The end of a stage that says when it does not know: the probability from which on it answers."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from progressive_tf.evaluation.abstaining import Abstention
from progressive_tf.evaluation.answer_rule import AnswerRule
from progressive_tf.files import read_json, write_json
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.rows_so_far import validation_answers


def choose_threshold(run: Run, stage: StageRecord, parent: StageRecord | None, depth: int) -> None:
    """Chooses the threshold that the plan asks for, on validation rows as `calibrate` does, and writes it.

    Args:
        run: its network is at the stage's weights.
        stage: a stage whose plan has `abstain`.
        parent: the one that it starts from.
        depth: how many leading blocks are frozen.
    """
    asked = run.settings(stage).abstain
    if asked is None:
        return
    found = validation_answers(run, stage, parent, depth).abstention(asked.error_at_most, asked.confidence)
    write_json(_file(stage), asdict(found))
    run.display.line(f"{stage.name}: {_words(found)}")


def abstention_facts(stage: StageRecord) -> dict[str, Any] | None:
    """Returns an `Abstention` as plain JSON, or None where the stage answers everything."""
    return read_json(_file(stage)) if _file(stage).exists() else None


def answer_rule(run: Run, stage: StageRecord | None) -> AnswerRule:
    """Returns what a trained stage answers; for None, what the version does that the run starts from."""
    if stage is None and run.start.version is not None:
        return AnswerRule.of_version(run.versions.version(run.start.version).manifest() or {})
    abstention = None if stage is None else abstention_facts(stage)
    return replace(AnswerRule.of_abstention(abstention), costs=run.data.classes.costs)


def _words(found: Abstention) -> str:
    limit = f"at most {100 * found.error_at_most:g} % of its answers are wrong (confidence {found.confidence:g})"
    if found.threshold is None:
        few = f"that takes {found.rows_needed:,} answered rows at least, all of them right"
        wrong = "too many of the surest answers are wrong; allow more (error_at_most), or train longer"
        return (
            f"abstains from everything: {found.rows:,} validation rows show no probability from which on {limit}; "
            f"{few if found.rows < found.rows_needed else wrong}"
        )
    return (
        f"answers from a probability of {found.threshold:.3g} on, so that {limit}: "
        f"{found.answered:,} of {found.rows:,} validation rows, {found.wrong:,} of them wrongly"
    )


def _file(stage: StageRecord) -> Path:
    return stage.folder / "abstain.json"
