"""Which rows a stage, and all that it builds on, were trained on."""

from __future__ import annotations

import numpy as np

from progressive_tf.data.learnt import Learnt
from progressive_tf.training.fitting.locations import stream_keys_file
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.run.start import learnt_by_version
from progressive_tf.training.stage.rows_so_far import rows_of

NONE = np.empty(0, np.uint64)


def learnt_by(run: Run, stage: StageRecord) -> Learnt:
    """Returns the rows of a stage, of the released ones before it, and of the version that the run started from."""
    parent = run.parent(stage)
    keys, is_whole = [NONE], True
    for record in (stage.of or stage, *run.released_until(parent)):
        keys.append(keys_of_stream(record))
        data = None if record.rows() is None else record.data()
        learnt = 0 if data is None or data.stream is None else data.train or 0
        is_whole &= len(keys[-1]) >= learnt  # else a part was learnt in an earlier release
    records = [stage, *reversed(run.released_until(parent))]
    so_far = [rows for record in records for rows in rows_of(run.at(record), record)]
    keys += [run.data.sources[rows.source].keys[rows.train] for rows in so_far]
    validation = [NONE, *(run.data.sources[rows.source].keys[rows.validation] for rows in so_far)]
    if run.start.version is not None:
        before = learnt_by_version(run.versions.version(run.start.version))
        keys += [] if before is None else [before.keys]
        validation += [] if before is None else [before.validation]
        is_whole &= before is not None and before.is_whole
    trained = np.unique(np.concatenate(keys))
    return Learnt(trained, "", np.setdiff1d(np.concatenate(validation), trained), is_whole)


def keys_of_stream(stage: StageRecord) -> np.ndarray:
    """Returns the keys of the rows that a stage has learnt from a stream, uint64; none where it learns from none."""
    path = stream_keys_file(stage.folder)
    return np.array([int(key, 16) for key in path.read_text().split()], np.uint64) if path.exists() else NONE
