from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from releasing import begin, copied, read, stage_folder
from sweeping import SPACE, SweepPlace, two_stages, two_stages_of_texts

from progressive_tf.data.source import Source
from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.training.answers.features import Features
from progressive_tf.training.stage.lifecycle import Attempt
from progressive_tf.tuning import sweep as sweep_module
from progressive_tf.tuning import trial as trial_module
from progressive_tf.tuning import warm_start as beginning
from progressive_tf.tuning.outcome import Sweep
from progressive_tf.tuning.trial import TrialResult

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Path:
    """A folder with the first stage of `two_stages`, which every sweep of the second begins with."""
    return begin(tmp_path_factory.mktemp("table"), two_stages(), stages=1)


def copy_of(begun: Path, folder: Path) -> SweepPlace:
    return SweepPlace(copied(begun, folder))


class Swept:
    """A sweep of the second stage, and the run that then takes what it found."""

    def __init__(self, begun: Path, folder: Path) -> None:
        self.place = copy_of(begun, folder)
        self.plan = two_stages()
        self.sweep = self.place.sweep(self.plan, trials=4, oracle="random", space=SPACE, seed=5)
        self.run = self.sweep.folder.parents[1]
        self.had_begun = (self.run / "stages" / "02-two" / "data.json").exists()
        self.own_run = copy_of(begun, folder / "own").train(self.plan).run
        self.tuned = self.place.train(self.plan, override=self.sweep.override)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, begun: Path) -> Swept:
    return Swept(begun, tmp_path_factory.mktemp("swept"))


@pytest.fixture
def place(begun: Path, tmp_path: Path) -> SweepPlace:
    return copy_of(begun, tmp_path)


def validation(run: Path, stage: str) -> float:
    return float(read(stage_folder(run, stage) / "metrics.json")["validation"]["accuracy"]["value"])


def told(sweep: Sweep) -> list[tuple[Any, ...]]:
    return [
        (each.trial, each.origin, dict(each.values), each.status, each.metric, each.epochs) for each in sweep.results
    ]


def test_the_plans_own_values_come_first_and_do_what_training_does(swept: Swept) -> None:
    first = swept.sweep.results[0]
    assert (first.trial, first.origin, dict(first.values)) == ("0000", "plan", {})
    assert first.metric == validation(swept.own_run, "two")
    assert [each.origin for each in swept.sweep.results[1:]] == ["random"] * 3


def test_what_the_sweep_found_is_what_training_with_its_override_gives(swept: Swept) -> None:
    assert swept.tuned.run == swept.run
    assert swept.sweep.best.metric == max(each.metric or 0 for each in swept.sweep.results)
    assert validation(swept.run, "two") == swept.sweep.best.metric


def test_a_sweep_does_not_begin_the_stage(swept: Swept) -> None:
    assert not swept.had_begun


def test_every_trial_leaves_its_result_and_all_stand_in_a_table(swept: Swept) -> None:
    table = pd.read_csv(swept.sweep.folder / "trials.csv", dtype={"trial": str})
    assert table["trial"].tolist() == ["0000", "0001", "0002", "0003"]
    assert table["best"].sum() == 1
    for each in swept.sweep.results:
        folder = swept.sweep.folder / f"trial_{each.trial}"
        assert read(folder / "result.json")["metric"] == each.metric
        assert read(folder / "trial.json")["status"] == "COMPLETED"
        assert len(pd.read_csv(folder / "seed_0" / "history.csv")) == each.epochs


def test_what_is_lost_on_the_stage_before_is_measured_on_its_validation_rows(swept: Swept) -> None:
    before = read(swept.sweep.folder / "sweep.json")["before"]
    assert before == {"one": validation(swept.run, "one")}
    assert all(set(each.drops) == {"one"} for each in swept.sweep.results)


def test_gate_and_test_rows_are_not_read(place: SweepPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = two_stages(adaptation={"method": "full"})
    forbidden: dict[int, np.ndarray] = {}

    def note(session: Any, *others: Any, begin: Callable[..., Any] = sweep_module.begin_sweep) -> Any:
        for name, parts in session.data.parts.items():
            forbidden[id(session.data.sources[name])] = np.concatenate([parts.gate, parts.test])
            forbidden[hash(name)] = forbidden[id(session.data.sources[name])]
        return begin(session, *others)

    def inputs(source: Source, rows: np.ndarray, read: Callable[..., Any] = Source.inputs) -> Any:
        if id(source) in forbidden and np.isin(rows, forbidden[id(source)]).any():
            raise AssertionError("a gate or test row was read")
        return read(source, rows)

    def examples(features: Features, name: str, rows: np.ndarray, *others: Any, **named: Any) -> Any:
        if hash(name) in forbidden and np.isin(rows, forbidden[hash(name)]).any():
            raise AssertionError("a gate or test row was read")
        return original(features, name, rows, *others, **named)

    original = Features.examples
    monkeypatch.setattr(sweep_module, "begin_sweep", note)
    monkeypatch.setattr(Source, "inputs", inputs)
    monkeypatch.setattr(Features, "examples", examples)
    found = place.sweep(plan, trials=2, oracle="random", space=SPACE)
    assert [each.status for each in found.results] == ["feasible", "feasible"]
    assert forbidden
    with pytest.raises(AssertionError, match="gate or test row"):
        place.run(plan)  # what measures a stage does read them


def test_a_crash_is_recorded_and_the_sweep_goes_on(place: SweepPlace) -> None:
    plan = two_stages(optimizer={"name": "sgd", "learning_rate": 0.01}, adaptation={"method": "full"})
    space = {"optimizer.learning_rate": {"choice": [0.01, 1e30, 0.02]}}
    found = place.sweep(plan, trials=4, oracle="grid", space=space)
    assert [each.status for each in found.results] == ["feasible", "feasible", "crashed", "feasible"]
    assert "the loss is" in (found.results[2].reason or "")
    assert (found.folder / "trial_0002" / "crash.txt").read_text().startswith("Traceback")


def test_memory_that_runs_out_is_a_crash_and_a_trial_that_ends_the_process_is_given_up(
    place: SweepPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*args: Any, **kwargs: Any) -> Any:
        import tensorflow as tf

        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    train = Attempt.train
    monkeypatch.setattr(Attempt, "train", out_of_memory)
    with pytest.raises(ProgressiveError, match=r"none of 2 trials is feasible \(ResourceExhaustedError: OOM"):
        place.sweep(two_stages(), trials=2, oracle="random", space=SPACE)
    monkeypatch.setattr(Attempt, "train", train)
    found = place.sweep(two_stages(), trials=3, oracle="random", space=SPACE)
    assert [each.status for each in found.results] == ["crashed", "crashed", "feasible"]

    folder = found.folder / "trial_0003"
    folder.mkdir()
    (folder / "starts.json").write_text(json.dumps({"starts": 3, "lines": 0}))
    again = place.sweep(two_stages(), trials=4, oracle="random", space=SPACE)
    assert again.results[3].status == "crashed"
    assert "ended 3 times at the same epoch" in (again.results[3].reason or "")


def test_a_trial_that_forgets_too_much_never_wins(place: SweepPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    def far_above(*args: Any) -> dict[str, float]:
        return {"one": 3.0}

    with monkeypatch.context() as patch:
        patch.setattr(beginning, "metric_before", far_above)
        with pytest.raises(ProgressiveError, match=r"none of 2 trials is feasible .*raise tune.drop_at_most"):
            place.sweep(two_stages(), trials=2, oracle="random", space=SPACE)
    found = place.sweep(two_stages(), trials=2, oracle="random", space=SPACE, fresh=True)
    assert {each.status for each in found.results} == {"feasible"}


def test_a_mean_over_seeds(place: SweepPlace) -> None:
    plan = two_stages(adaptation={"method": "full"})
    found = place.sweep(plan, trials=1, seeds=2, metric="log_loss")
    (trial,) = found.results
    assert len(set(trial.by_seed)) == 2
    assert trial.metric == pytest.approx(np.mean(trial.by_seed))
    assert trial.epochs == sum(
        len(pd.read_csv(found.folder / "trial_0000" / f"seed_{number}" / "history.csv")) for number in range(2)
    )


@pytest.mark.usefixtures("_determinism")
def test_a_stage_begins_with_the_best_of_the_sweep_before_it(tmp_path: Path) -> None:
    place, plan = SweepPlace(tmp_path), two_stages()
    space = {"batch_size": {"choice": [4, 8, 16]}}
    before = place.sweep(plan, index=0, trials=3, oracle="random", space=space, seed=2)
    settings = {"trials": 3, "oracle": "random", "drop_at_most": 1.0}
    found = place.sweep(plan, space=SPACE | space, override=before.override, **settings)
    expected = ["plan", "best of one", "random"] if before.best.values else ["plan", "random", "random"]
    assert [each.origin for each in found.results] == expected
    if before.best.values:
        assert dict(found.results[1].values) == dict(before.best.values)


def test_without_a_warm_start_the_oracle_begins(place: SweepPlace) -> None:
    plan = two_stages(tune={"warm_start": False, "trials": 2, "oracle": "random", "space": SPACE})
    assert [each.origin for each in place.sweep(plan).results] == ["random", "random"]


@pytest.mark.parametrize("oracle", ["bayesian", "hyperband"])
def test_a_sweep_that_was_stopped_ends_as_it_would_have(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, oracle: str
) -> None:
    plan = two_stages(adaptation={"method": "full"})
    settings = {"trials": 5, "oracle": oracle, "space": {"optimizer.learning_rate": SPACE["optimizer.learning_rate"]}}
    alone = copy_of(begun, tmp_path / "alone").sweep(plan, **settings)
    stopped = copy_of(begun, tmp_path / "stopped")
    for after in (1, 3):
        with monkeypatch.context() as patch:
            patch.setattr(Attempt, "train", _stopping(after))
            with pytest.raises(KeyboardInterrupt, match="The same command continues"):
                stopped.sweep(plan, **settings)
    assert told(stopped.sweep(plan, **settings)) == told(alone)
    assert stopped.sweep(plan, **settings).best.trial == alone.best.trial


def _stopping(after: int) -> Callable[..., Any]:
    """Returns the training of trials, of which one is interrupted in the middle."""
    begun = iter(range(100))
    whole = Attempt.train

    def train(attempt: Attempt, pause_after: int | None = None) -> Any:
        if next(begun) < after:
            return whole(attempt, pause_after)
        whole(attempt, 1)
        raise KeyboardInterrupt

    return train


def test_hyperband_goes_on_with_a_trial_rather_than_train_it_again(place: SweepPlace) -> None:
    plan = two_stages(adaptation={"method": "full"}, early_stopping=None)
    found = place.sweep(plan, trials=8, oracle="hyperband", space=SPACE)
    continued = [each for each in found.results if each.continues]
    assert continued
    for each in continued:
        earlier = next(other for other in found.results if other.trial == each.continues)
        histories = [
            pd.read_csv(found.folder / f"trial_{name}" / "seed_0" / "history.csv")
            for name in (earlier.trial, each.trial)
        ]
        assert earlier.epochs < each.epochs
        assert histories[1][: earlier.epochs].equals(histories[0])
        assert (each.origin, dict(each.values)) == (earlier.origin, dict(earlier.values))
    assert {each.epochs for each in found.results} == {1, 3}
    assert found.best.whole


def test_another_space_is_refused_and_more_trials_are_not(place: SweepPlace) -> None:
    plan = two_stages()
    place.sweep(plan, trials=2, oracle="random", space=SPACE)
    other = {"batch_size": {"choice": [8, 32]}}
    with pytest.raises(InputError, match=r"was another:\s+space.optimizer.learning_rate: was (.|\s)*tune --fresh"):
        place.sweep(plan, trials=2, oracle="random", space=other)
    with pytest.raises(InputError, match="oracle: was 'random', now 'bayesian'"):
        place.sweep(plan, trials=2, oracle="bayesian", space=SPACE)
    with pytest.raises(InputError, match=r"stage\.epochs: was 3, now 2"):
        place.sweep(two_stages(epochs=2), trials=2, oracle="random", space=SPACE)
    assert len(place.sweep(plan, trials=3, oracle="random", space=SPACE).results) == 3
    fresh = place.sweep(plan, trials=1, oracle="random", space=other, fresh=True)
    assert len(fresh.results) == 1
    assert len(list(fresh.folder.parent.glob("02-two.before-*"))) == 1


def test_conditional_keys_are_searched_beside_their_choice_only(place: SweepPlace) -> None:
    space = {
        "adaptation.method": {"choice": ["head", "top-blocks"]},
        "adaptation.blocks": {"choice": [1, 2], "when": {"adaptation.method": "top-blocks"}},
    }
    found = place.sweep(two_stages(), trials=9, oracle="grid", space=space)
    assert [dict(each.values) for each in found.results] == [
        {},
        {"adaptation.method": "head"},
        {"adaptation.method": "top-blocks", "adaptation.blocks": 1},
        {"adaptation.method": "top-blocks", "adaptation.blocks": 2},
    ]
    assert {each.status for each in found.results} == {"feasible"}


def test_retention_can_be_searched(place: SweepPlace) -> None:
    plan = two_stages(data={"take_new": 40})
    space = {"retention.replay.fraction": {"choice": [0.1, 0.3]}, "retention.ewc": {"choice": [None, {"samples": 10}]}}
    found = place.sweep(plan, trials=3, oracle="random", space=space)
    assert [each.status for each in found.results] == ["feasible"] * 3


@pytest.fixture(scope="module")
def begun_with_texts(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Path:
    return begin(tmp_path_factory.mktemp("texts"), two_stages_of_texts(), stages=1)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_trials_add_up_to_no_memory(
    begun_with_texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    place = copy_of(begun_with_texts, tmp_path)
    alive: list[int] = []

    def run(trials: trial_module.Trials, *args: Any, original: Callable[..., Any] = trial_module.Trials.run) -> Any:
        result = original(trials, *args)
        gc.collect()
        alive.append(sum(type(each).__name__ in ("FuncGraph", "ConcreteFunction") for each in gc.get_objects()))
        return result

    monkeypatch.setattr(trial_module.Trials, "run", run)
    space = {"optimizer.learning_rate": SPACE["optimizer.learning_rate"]}
    plan = two_stages_of_texts(epochs=1, adaptation={"method": method})
    place.sweep(plan, trials=3, oracle="random", space=space, drop_at_most=1.0)
    assert alive[2] == alive[1]


class Tuned:
    """A plan that sweeps its second stage before it trains it, run twice."""

    def __init__(self, begun: Path, folder: Path) -> None:
        self.place = copy_of(begun, folder)
        self.plan = two_stages(tune={"trials": 3, "oracle": "random", "space": SPACE, "seed": 5})
        self.finished = self.place.train(self.plan)
        self.sweep = read(self.finished.run / "sweeps" / "02-two" / "sweep.json")
        self.again = self.place.train(self.plan)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, begun: Path) -> Tuned:
    return Tuned(begun, tmp_path_factory.mktemp("tuned"))


def test_a_plan_may_sweep_a_stage_before_it_trains(tuned: Tuned) -> None:
    assert tuned.finished.promoted
    assert validation(tuned.finished.run, "two") == tuned.sweep["best"]["metric"]
    change = read(stage_folder(tuned.finished.run, "two") / "tuned.json")
    assert change.get("batch_size", 16) == tuned.sweep["best"]["values"].get("batch_size", 16)


def test_a_tuned_run_is_continued_with_what_was_found(tuned: Tuned) -> None:
    assert tuned.again == tuned.finished


def test_the_sweep_of_a_tuned_run_takes_more_trials(tuned: Tuned) -> None:
    assert tuned.sweep["best"]["values"], "with the plan's own values it works"
    assert tuned.place.sweep(tuned.plan, trials=4).folder == tuned.finished.run / "sweeps" / "02-two"


def test_worse_than_every_metric_is_what_an_infeasible_trial_scores() -> None:
    from progressive_tf.plan.metric_names import CLASSES
    from progressive_tf.tuning.trial import Trials, best_of

    def trials(metric: str) -> Trials:
        return Trials(*[None] * 4, CLASSES.metrics[metric], 0.02, 1, {}, Path())  # type: ignore[arg-type]

    def result(metric: float, drop: float) -> TrialResult:
        status = "feasible" if drop <= 0.02 else "infeasible"
        return TrialResult("0000", "random", {}, status, metric, (metric,), {"one": drop})  # type: ignore[arg-type]

    accuracy, loss = trials("accuracy"), trials("log_loss")
    assert accuracy.score(result(0.0, 0.02)) > accuracy.score(result(1.0, 0.03)) > accuracy.score(result(1.0, 0.5))
    assert loss.score(result(16.0, 0.0)) > loss.score(result(0.0, 0.03)) > loss.score(result(0.0, 9.0))
    assert loss.score(result(0.3, 0.0)) > loss.score(result(0.4, 0.0))
    good, better = result(0.5, 0.0), result(0.9, 0.1)
    assert best_of([better, good], maximize=True) == good
    assert best_of([better], maximize=True) is None
    assert best_of([good, TrialResult("0001", "random", {}, "feasible", 0.5)], maximize=True) == good
