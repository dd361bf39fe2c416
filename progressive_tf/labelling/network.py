"""How alike inputs are to the network of a version: its run has it, and the rows that have labels already."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from progressive_tf.data.class_space import UNKNOWN
from progressive_tf.data.source import Source, SourceReader
from progressive_tf.data.tables import read_tables
from progressive_tf.display import Display
from progressive_tf.errors import ProgressiveError
from progressive_tf.files import cache_folder, read_json, write_text
from progressive_tf.labelling.candidates import Candidate, key_of
from progressive_tf.monitoring.next_stage import lines_of
from progressive_tf.monitoring.origin import find_run
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.methods import Cache
from progressive_tf.registry import Version
from progressive_tf.training.run.run import Run, load_run
from progressive_tf.training.run.run_folder import RunFolder
from progressive_tf.training.run.start import learnt_by_version

NAME = "asked"


@dataclass(frozen=True)
class Network:
    """The run of a version, at its stage's weights."""

    run: Run

    def known(self) -> np.ndarray:
        """Returns keys of every row that the plan has a label for, uint64."""
        return np.concatenate([_keys(source) for source in self.run.data.sources.values()])

    def vectors(self, candidates: Sequence[Candidate], display: Display) -> np.ndarray:
        """Returns the mean of what the last block gives for each input, float32 [candidates, width]."""
        from progressive_tf.training.answers.features import Features

        run, data = self.run, self.run.data
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / f"{NAME}.jsonl"
            write_text(path, lines_of([candidate.cells for candidate in candidates]))
            reader = SourceReader(run.plan.data, run.plan.kind, Path(scratch), Path(scratch) / "cache")
            source = reader.read(str(path), labelled=False)
            own = next(iter(data.sources.values()))
            if own.features is not None:
                named = run.plan.data.model_copy(update={"features": own.features, "leave_out": ()})
                source = read_tables({NAME: source}, named, own.notations)[NAME]
            classes = replace(data.classes, codes={NAME: np.full(len(source), UNKNOWN, np.int32)})
            features = Features(run.network, {NAME: source}, classes, display, cache_folder() / "prefix")
            return features.embeddings(NAME, np.arange(len(source)), len(run.network.blocks), Cache(storage="off"))


def network_of(version: Version, runs: Path, registry: Path, folder: Path | None) -> Network | str:
    """Returns the network of a version at its weights, or why it cannot be had.

    Args:
        version: a released one.
        runs: the folder of all runs, by plan; or of the plan's runs.
        registry: the folder.
        folder: from which paths in the plan start; None for the one that the run was begun in.
    """
    path = find_run(version, runs)
    if path is None:
        return f"run {version.run} is not in {runs}"
    kept = RunFolder(path)
    try:
        plan = kept.plan()
        begun_in = folder or Path(read_json(kept.environment_file)["plan_folder"])
        # What it says of the plan's rows was said when the run began.
        run = load_run(LoadedPlan(plan, begun_in, plan), kept, registry, Display(Console(quiet=True)))
        stage = next((each for each in run.with_candidates(run.stages) if each.name == version.stage), None)
        if stage is None or not stage.is_trained:
            return f"stage {version.stage} of run {version.run} has kept no weights"
        run = run.at(stage)
        run.load(stage)
    except (ProgressiveError, FileNotFoundError, KeyError) as error:
        return f"run {version.run} cannot be loaded: {error}"
    return Network(run)


def learnt_keys(version: Version) -> np.ndarray:
    """Returns keys of the inputs that a version was trained or chosen on, uint64; none where it does not say.

    Of tables they are no keys of this package's questions, and match none.
    """
    learnt = learnt_by_version(version)
    return np.empty(0, np.uint64) if learnt is None else np.concatenate([learnt.keys, learnt.validation])


def _keys(source: Source) -> np.ndarray:
    if source.features is None:
        return source.keys
    rows = source.cells(np.arange(len(source)))
    return np.array([key_of(dict(zip(source.features.names, row, strict=True))) for row in rows], np.uint64)
