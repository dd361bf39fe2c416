"""Released versions that answer files: what the command does, and the same in Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from progressive_tf.display import Display
from progressive_tf.registry import ModelVersions, Version
from progressive_tf.scoring.beside import drift_of
from progressive_tf.scoring.predictor import Predictor
from progressive_tf.scoring.score import Asked, Scoring, Summary


def answer_files(
    model: ModelVersions | None, version: Version, against: Version | None, asked: Asked, runs: Path, display: Display
) -> Summary:
    """Writes what a version answers, and compares a sample with the gate rows of its stage.

    Args:
        model: of the version, where it stands in a registry.
        version: that answers.
        against: another one, which is asked the same; None for none.
        asked: what is answered, and where it is written.
        runs: the folder of all runs, by plan.
        display: where progress is shown.

    Raises:
        InputError: see `Scoring.run`.
    """
    predictor = Predictor(version.folder, version.manifest() or {})
    other = None if against is None else Predictor(against.folder, against.manifest() or {})
    identity = {"versions": [None if one is None else one.manifest_sha256 for one in (version, against)]}
    summary = Scoring(predictor, other, identity).run(asked, display)
    summary.drift = drift_of(summary.sample, model, version, runs)
    return summary


def columns_kept(asked: str | Sequence[str]) -> Sequence[str] | None:
    """Returns the columns that are kept, None for all.

    Args:
        asked: `all`, `none`, names with commas between them, or a list of names.
    """
    if not isinstance(asked, str):
        return list(asked)
    return {"all": None, "none": []}.get(asked, [name.strip() for name in asked.split(",")])
