"""From labelled questions to the next stage, and to labels that should be looked at again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from progressive_tf.display import Display
from progressive_tf.files import cache_folder
from progressive_tf.labelling.answers import Answer, Doubt, Settled, as_candidates, settle, suspects
from progressive_tf.labelling.candidates import probabilities_of
from progressive_tf.labelling.formats import read_given
from progressive_tf.labelling.stage import Added, AskedStage
from progressive_tf.monitoring.next_stage import place_of
from progressive_tf.monitoring.origin import start_of
from progressive_tf.output import say
from progressive_tf.registry import ModelVersions, Version
from progressive_tf.registry.label_lineage import LabelLineage


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
    read = [read_given(path) for path in files]
    for path, (_, words) in zip(files, read, strict=True):
        say(f"{path}: {words}")
    (plan, to), (runs, _) = target, folders
    place = place_of(model, version, plan, to, runs, ("--to", "asked"))
    old_words = LabelLineage.read(model).words_for(version.number)
    stage = AskedStage(place, cache_folder(), start_of(model, version, runs), old_words)
    settled = settle([given for given, _ in read], stage.spelt)
    doubts = settled.doubts + _suspects(version, stage.take(settled.answers), stage.spelt)
    return stage.write(doubts), settled, doubts


def _suspects(version: Version, answers: Sequence[Answer], spelt: Callable[[str], str]) -> list[Doubt]:
    """Returns labels that look wrong to a version, whose classes may be called otherwise in the plan, or be one."""
    from progressive_tf.scoring.predictor import Predictor

    predictor = Predictor(version.folder, version.manifest() or {})
    called = [spelt(label) for label in predictor.labels]
    labels = list(dict.fromkeys(called))
    known = [answer for answer in answers if answer.label in labels]
    if not known:
        return []
    probabilities = probabilities_of(as_candidates(known, bool(predictor.columns)), predictor, Display())
    merged = np.array([[one == label for label in labels] for one in called], np.float64)
    return suspects(known, labels, probabilities @ merged)
