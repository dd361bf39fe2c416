"""How often gate rows were looked at, and test rows: counted in the journal, over all runs of a model.

A candidate that misses a threshold passes by chance now and then, and so one of many does. What may pass is therefore
shared out over the candidates that are judged on the same rows beside the same released version (`evaluation.looks`).
A look is in the journal before its verdict is used. The same weights looked at again are no new look: a run that
goes on, or the same run from the same seed. A version that is released is what later ones are judged beside, and
their count begins at 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from progressive_tf.registry.history import publications
from progressive_tf.registry.journal import COMMIT, LOOKED, TESTED, Entry
from progressive_tf.registry.versions import ModelVersions

KEPT = 32  # smallest hashes of a set of rows
ALIKE = 0.5


def rows_token(keys: npt.NDArray[np.uint64]) -> str:
    """Returns what tells sets of rows apart and shows how alike they are: the smallest hashes of their inputs.

    Bottom-k sketch (Broder 1997): the share of hashes that two sets have in common among the smallest of both together
    estimates their intersection over their union, with 32 hashes to about ± 0.09.

    Args:
        keys: uint64 [rows], one for each row, equal for inputs that count as the same.
    """
    distinct = np.unique(keys).astype("<u8")
    hashes = sorted(hashlib.blake2b(key.tobytes(), digest_size=4).hexdigest() for key in distinct)
    return ",".join(hashes[:KEPT])


def are_alike(one: str, other: str) -> bool:
    """Whether two sets of rows count as the same: half or more of the rows of both together are in both."""
    if one == other:
        return True
    mine, theirs = set(one.split(",")), set(other.split(","))
    smallest = sorted(mine | theirs)[: max(len(mine), len(theirs))]
    return len(mine & theirs & set(smallest)) >= ALIKE * len(smallest)


@dataclass(frozen=True)
class Judged:
    """A candidate that is about to be judged.

    Attributes:
        run: the run's id.
        stage: the stage's name.
        weights_sha256: hash of its weights.
        beside: the released version that it is compared with; None: there is none.
    """

    run: str
    stage: str
    weights_sha256: str
    beside: int | None


def note_looks(model: ModelVersions, judged: Judged, rows: Sequence[str]) -> list[int]:
    """Notes that a candidate is judged on sets of gate rows; returns which look it is on each, from 1.

    Processes that judge at the same time get different numbers.

    Args:
        model: its versions.
        judged: the candidate.
        rows: `rows_token` of each set.

    Raises:
        RegistryError: the journal cannot be written.
    """
    with model.files.writing(model.wait_seconds):
        entries = model.entries()
        seen = {token: candidates(entries, token, judged) for token in dict.fromkeys(rows)}
        look = Entry(LOOKED, version=judged.beside, run=judged.run, stage=judged.stage)
        fresh = [token for token in seen if judged.weights_sha256 not in seen[token]]
        if fresh:
            noted = (replace(look, token=token, weights_sha256=judged.weights_sha256) for token in fresh)
            model.files.append(*noted)
    order = {token: [*earlier, judged.weights_sha256] for token, earlier in seen.items()}
    return [order[token].index(judged.weights_sha256) + 1 for token in rows]


def candidates(entries: Iterable[Entry], token: str, judged: Judged) -> list[str]:
    """Returns the weights that were looked at on such rows beside the same version, each once, oldest first.

    Beside no version, only those since another candidate on these rows was released: there is nothing else that a
    release changes.
    """
    entries = tuple(entries)
    committed = {publication.token: publication.intent for publication in publications(entries)}
    found: list[str] = []
    stages: set[tuple[str | None, str | None]] = set()
    for entry in entries:
        if entry.event == LOOKED and entry.version == judged.beside and are_alike(str(entry.token), token):
            stages.add((entry.run, entry.stage))
            if entry.weights_sha256 is not None and entry.weights_sha256 not in found:
                found.append(entry.weights_sha256)
        elif entry.event == COMMIT and judged.beside is None:
            intent = committed[str(entry.token)]
            released = (intent.run, intent.stage)
            if released in stages and released != (judged.run, judged.stage):
                found = []
    return found


def note_test(model: ModelVersions, run: str, rows: str) -> int:
    """Notes that a run is measured on test rows; returns how many runs, with this one, have been.

    Args:
        model: its versions.
        run: the run's id.
        rows: `rows_token` of the rows.

    Raises:
        RegistryError: the journal cannot be written.
    """
    with model.files.writing(model.wait_seconds):
        runs = set(_tested(model.entries(), rows))
        if run not in runs:
            model.files.append(Entry(TESTED, token=rows, run=run))
    return len(runs | {run})


def _tested(entries: Iterable[Entry], rows: str) -> Iterator[str]:
    for entry in entries:
        if entry.event == TESTED and are_alike(str(entry.token), rows):
            yield str(entry.run)
