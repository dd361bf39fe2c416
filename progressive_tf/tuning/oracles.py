"""Keras Tuner's oracles, with known values first, and with states that survive a kill at any moment."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cmp_to_key
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, HyperbandOracle, RandomSearchOracle
from sklearn.exceptions import ConvergenceWarning

from progressive_tf.files import write_json
from progressive_tf.seeds import derive_seed
from progressive_tf.tuning.hypermodel import Token

SCORE = "score"
NO_LIMIT = 10**9  # failed trials in a row
DONE = (TrialStatus.COMPLETED, TrialStatus.FAILED)


class _Sweeping(keras_tuner.Oracle):
    """What every oracle here does in addition; stands before Keras Tuner's class.

    Attributes:
        limit: how many trials there are at most.
        known: values of the first trials, in order.
    """

    limit: int
    known: Sequence[dict[str, Token]]
    trials: dict[str, Trial]
    start_order: list[str]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if len(self.trials) >= self.limit:
            return {"status": TrialStatus.STOPPED}
        return super().populate_space(trial_id)

    def _random_values(self) -> dict[str, Any] | None:
        if len(self.trials) < len(self.known):
            return dict(self.known[len(self.trials)])
        return super()._random_values()

    def save(self) -> None:
        write_json(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial: Trial) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def reload(self) -> None:
        """Takes over what an earlier process saved, whose last step may be half done.

        A trial's file is written before the oracle's: one that the oracle does not know has not begun, and one that is
        done needs no retry.
        """
        super().reload()
        self.trials = {name: self.trials[name] for name in sorted(self.start_order)}
        for name in [trial_id for trial_id in self._retry_queue if self.trials[trial_id].status in DONE]:
            self._retry_queue.remove(name)
            self.end_order.append(name)


class _Random(_Sweeping, RandomSearchOracle):
    pass


class _Bayesian(_Sweeping, BayesianOptimizationOracle):
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        # Not part of Keras Tuner's saved state: a sweep that was stopped goes on as it would have.
        self._random_state = np.random.RandomState(derive_seed(self.seed, "bayesian", trial_id))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of a model of a few points
            return super().populate_space(trial_id)


class _Hyperband(_Sweeping, HyperbandOracle):
    pass


class _Grid(_Sweeping, GridSearchOracle):
    """The grid, which Keras Tuner walks from trial to trial: known values are no part of the walk."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if len(self.trials) < min(self.limit, len(self.known)):
            return {"status": TrialStatus.RUNNING, "values": dict(self.known[len(self.trials)])}
        order = self.start_order
        self.start_order = order[len(self.known) :]
        try:
            return super().populate_space(trial_id)
        finally:
            self.start_order = order

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        super().end_trial(trial)
        if int(trial.trial_id) < len(self.known):
            self._populate_next.remove(trial.trial_id)

    def reload(self) -> None:
        super().reload()
        # Keras Tuner saves neither which trials are the walk's nor after which it can go on.
        walked = sorted(self.start_order[len(self.known) :], key=cmp_to_key(self._in_order))
        for trial_id in walked:
            self._ordered_ids.insert(trial_id)
        self._populate_next = walked

    def _in_order(self, one: str, other: str) -> int:
        values = [self.trials[trial_id].hyperparameters.values for trial_id in (one, other)]
        return int(self._compare(*values))


_KINDS: dict[str, type[_Sweeping]] = {
    "random": _Random,
    "bayesian": _Bayesian,
    "hyperband": _Hyperband,
    "grid": _Grid,
}


def make_oracle(
    kind: str,
    hyperparameters: keras_tuner.HyperParameters,
    limit: int,
    seed: int,
    epochs: int,
    known: Sequence[dict[str, Token]],
) -> keras_tuner.Oracle:
    """Returns an oracle that maximises `score`.

    Args:
        kind: random, bayesian, hyperband or grid.
        hyperparameters: the whole space.
        limit: how many trials there are at most.
        seed: from 1.
        epochs: of a whole training, for hyperband.
        known: values of the first trials.
    """
    settings: dict[str, Any] = {"max_epochs": epochs, "hyperband_iterations": limit} if kind == "hyperband" else {}
    oracle = _KINDS[kind](
        objective=keras_tuner.Objective(SCORE, "max"),
        hyperparameters=hyperparameters,
        seed=seed,
        allow_new_entries=False,
        max_consecutive_failed_trials=NO_LIMIT,
        **settings,
    )
    oracle.limit, oracle.known = limit, list(known)
    oracle.max_trials = None  # `limit` is, and may grow
    oracle.verbose = 0
    return oracle
