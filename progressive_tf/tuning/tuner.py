"""Keras Tuner's loop over the trials of a stage."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine import base_tuner
from keras_tuner.engine.trial import Trial
from keras_tuner.errors import FailedTrialError, FatalError

from progressive_tf.disk import WriteError
from progressive_tf.files import write_json
from progressive_tf.tuning.hypermodel import StageHyperModel
from progressive_tf.tuning.oracles import SCORE
from progressive_tf.tuning.trial import TrialResult, Trials, read_result


class RefusedTrialError(WriteError, FatalError):
    """The disk refuses what a trial writes: the search ends, and the trial is tried again when it goes on."""


class StageTuner(base_tuner.BaseTuner):
    """Asks an oracle for values, has them tried, and tells it how they did.

    Args:
        oracle: chooses values.
        hypermodel: the space.
        attempts: runs trials.
        first: origin and values, as a plan has them, of the first trials.
        oracle_name: origin of the others.
        report: is told of each finished trial.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        hypermodel: StageHyperModel,
        attempts: Trials,
        first: Sequence[tuple[str, Mapping[str, Any]]],
        oracle_name: str,
        report: Callable[[TrialResult], None],
    ) -> None:
        self._attempts = attempts
        self._first = list(first)
        self._oracle_name = oracle_name
        self._report = report
        with contextlib.redirect_stdout(io.StringIO()):  # which is for results
            super().__init__(oracle, hypermodel, str(attempts.folder.parent), attempts.folder.name)

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Runs one trial; Keras Tuner marks it as failed where it crashes.

        Raises:
            FailedTrialError: it crashed; its folder says why.
            RefusedTrialError: the disk refuses what it writes.
        """
        chosen = trial.hyperparameters.values
        continues = chosen.get("tuner/trial_id")
        number = int(trial.trial_id)
        if continues is not None:
            earlier = read_result(self._attempts.trial_folder(continues))
            origin, values = earlier.origin, earlier.values
        elif number < len(self._first):
            origin, values = self._first[number]
        else:
            origin, values = self._oracle_name, self.hypermodel.values(chosen)
        try:
            result = self._attempts.run(trial.trial_id, origin, values, chosen.get("tuner/epochs"), continues)
        except WriteError as error:
            raise RefusedTrialError(error.place, error.code) from error
        self._report(result)
        if result.status == "crashed":
            raise FailedTrialError(result.reason)
        return {SCORE: self._attempts.score(result)}

    def save(self) -> None:
        """Saves the oracle and a file that tells Keras Tuner that a project has begun, each whole or not at all."""
        if not self._is_worker():
            self.oracle.save()
        write_json(Path(self._get_tuner_fname()), self.get_state())
