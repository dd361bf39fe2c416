"""From labelled questions to the next stage, and to labels that should be looked at again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from progressive_tf.display import Display
from progressive_tf.files import cache_folder
from progressive_tf.labelling.answers import Answer, Doubt, Settled, as_candidates, settle, suspects
from progressive_tf.labelling.candidates import probabilities_of
from progressive_tf.labelling.formats import read_given
from progressive_tf.labelling.stage import Added, add_stage, write_doubts
from progressive_tf.monitoring.next_stage import place_of
from progressive_tf.monitoring.origin import start_of
from progressive_tf.registry import ModelVersions, Version


def import_answers(
    model: ModelVersions,
    version: Version,
    files: Sequence[Path],
    target: tuple[str | None, Path],
    folders: tuple[Path, Path],
) -> tuple[Added, Settled, list[Doubt]]:
    """Writes the next stage, made of what people answered, and beside it which labels should be looked at again.

    Args:
        model: the version's.
        version: the one in use, which the stage goes on from.
        files: labelled questions, one or more.
        target: the plan's name or file, None for the shipped one; and where the copy is written.
        folders: of all runs, and of all versions.

    Raises:
        InputError: a file cannot be read, or there are too few answers, or the copy cannot be written there.
    """
    settled = settle([read_given(path)[0] for path in files])
    (plan, to), (runs, _) = target, folders
    place = place_of(model, version, plan, to, runs, ("--to", "asked"))
    added = add_stage(place, settled.answers, cache_folder(), start_of(model, version, runs))
    doubts = settled.doubts + _suspects(version, settled.answers)
    if doubts:
        write_doubts(added.doubts_file, doubts)
    return added, settled, doubts


def _suspects(version: Version, answers: Sequence[Answer]) -> list[Doubt]:
    from progressive_tf.scoring.predictor import Predictor

    predictor = Predictor(version.folder, version.manifest() or {})
    known = [answer for answer in answers if answer.label in predictor.labels]
    inputs = as_candidates(known, bool(predictor.columns))
    return suspects(known, predictor.labels, probabilities_of(inputs, predictor, Display())) if known else []
