"""A version as a function of a batch, for workers and engines."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from progressive_tf.api.quiet import quiet
from progressive_tf.files import read_json
from progressive_tf.registry.folder import MANIFEST_NAME

if TYPE_CHECKING:
    from progressive_tf.scoring.predictor import Predictor

VERSIONS_IN_MEMORY = 2


@dataclass(frozen=True)
class BatchFunction:
    """Rows in, the same rows with what a version answers out; see `ReleasedVersion.predict_table`.

    It can be pickled: it holds the version's folder, which has to be there in each worker, and loads the version there
    with the first batch. Whatever the batch, its table has the same columns of the same types.

    Attributes:
        folder: the version's.
        against: that of another version, which is asked the same; None for none.
        keep: columns that are kept beside the answers; None for all.
        column: the column of texts, or of the paths of images; None for the usual one.
        usual: what it is usually called, where that is known.
        probabilities: whether that of each class is given.
    """

    folder: Path
    against: Path | None = None
    keep: Sequence[str] | None = None
    column: str | None = None
    usual: Sequence[str] = ()
    probabilities: bool = False

    def __call__(self, rows: Any) -> pd.DataFrame:
        """Returns the answers to rows, with their index.

        Args:
            rows: a DataFrame, mappings from column to cell, or files.

        Raises:
            InputError: the version cannot read them.
        """
        with quiet():
            predictor = _loaded(self.folder)
            other = None if self.against is None else _loaded(self.against)
        from progressive_tf.scoring.frame import AskedOfFrame, answered_frame

        asked = AskedOfFrame(self.keep, self.column, self.usual, self.probabilities)
        return answered_frame(predictor, other, rows, asked)


@lru_cache(VERSIONS_IN_MEMORY)
def _loaded(folder: Path) -> Predictor:
    """Returns a version, which is loaded once in each process; what is released does not change."""
    from progressive_tf.scoring.predictor import Predictor

    return Predictor(folder, read_json(folder / MANIFEST_NAME))


atexit.register(_loaded.cache_clear)  # TensorFlow's functions cannot be taken down when its modules are gone
