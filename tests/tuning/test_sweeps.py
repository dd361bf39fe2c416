from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from releasing import begin, copied, read, small_plan, stage_folder
from sweeping import SPACE, SweepPlace, two_stages

from progressive_tf.data.source import Source
from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.training.answers.features import Features
from progressive_tf.training.stage.lifecycle import Attempt
from progressive_tf.tuning import sweep as sweep_module
from progressive_tf.tuning import trial as trial_module
from progressive_tf.tuning import warm_start as beginning
from progressive_tf.tuning.outcome import Sweep
from progressive_tf.tuning.trial import TrialResult, Trials

RATES = {"optimizer.learning_rate": SPACE["optimizer.learning_rate"]}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Path:
    """A folder with the first stage of `two_stages`, which every sweep of the second begins with."""
    return begin(tmp_path_factory.mktemp("table"), two_stages(), stages=1, releases=False)


def copy_of(begun: Path, folder: Path) -> SweepPlace:
    return SweepPlace(copied(begun, folder))


@pytest.fixture
def place(begun: Path, tmp_path: Path) -> SweepPlace:
    return copy_of(begun, tmp_path)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials that train nothing: the larger the batch, the better they do."""

    def run(trials: Trials, name: str, origin: str, values: dict[str, Any], *args: Any) -> TrialResult:
        result = TrialResult(name, origin, dict(values), "feasible", values.get("batch_size", 1) / 100)
        result.save(trials.trial_folder(name))
        return result

    monkeypatch.setattr(Trials, "run", run)


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Notes what reads gate or test rows, by its name, from where a sweep begins."""
    found: list[str] = []
    forbidden: dict[str, np.ndarray] = {}
    begin_sweep, inputs, examples = sweep_module.begin_sweep, Source.inputs, Features.examples

    def begin_watching(session: Any, *others: Any) -> Trials:
        for name, parts in session.data.parts.items():
            rows = np.concatenate([parts.gate, parts.test])
            forbidden[name] = forbidden[session.data.sources[name].sha256] = rows
        return begin_sweep(session, *others)

    def note(reader: str, source: str, rows: np.ndarray) -> None:
        if source in forbidden and np.isin(rows, forbidden[source]).any():
            found.append(reader)

    def inputs_noted(source: Source, rows: np.ndarray) -> Any:
        note("inputs", source.sha256, rows)
        return inputs(source, rows)

    def examples_noted(features: Features, name: str, rows: np.ndarray, *others: Any, **named: Any) -> Any:
        note("examples", name, rows)
        return examples(features, name, rows, *others, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_module, "begin_sweep", begin_watching)
        patch.setattr(Source, "inputs", inputs_noted)
        patch.setattr(Features, "examples", examples_noted)
        yield found


class Swept:
    """A sweep of the second stage, and the run that then takes what it found."""

    def __init__(self, begun: Path, folder: Path) -> None:
        self.place = copy_of(begun, folder)
        self.plan = two_stages()
        with watched() as reads:
            self.sweep = self.place.sweep(self.plan, trials=3, oracle="random", space=SPACE, seed=5)
            self.read_by_sweep = set(reads)
            self.run = self.sweep.folder.parents[1]
            self.had_begun = (self.run / "stages" / "02-two" / "data.json").exists()
            self.tuned = self.place.train(self.plan, override=self.sweep.override)
            self.read_by_training = set(reads)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, begun: Path) -> Swept:
    return Swept(begun, tmp_path_factory.mktemp("swept"))


def validation(run: Path, stage: str, metric: str = "accuracy") -> float:
    return float(read(stage_folder(run, stage) / "metrics.json")["validation"][metric]["value"])


def told(sweep: Sweep) -> list[tuple[Any, ...]]:
    return [
        (each.trial, each.origin, dict(each.values), each.status, each.metric, each.epochs) for each in sweep.results
    ]


def histories(sweep: Sweep, trial: str) -> list[pd.DataFrame]:
    """Returns the history of each seed of a trial."""
    return [pd.read_csv(path) for path in sorted(sweep.folder.glob(f"trial_{trial}/seed_*/history.csv"))]


def test_what_the_sweep_found_is_what_training_with_its_override_gives(swept: Swept) -> None:
    assert [(each.trial, each.origin) for each in swept.sweep.results] == [
        ("0000", "plan"),
        ("0001", "random"),
        ("0002", "random"),
    ]
    assert not swept.sweep.results[0].values
    assert swept.tuned.run == swept.run
    assert swept.sweep.best.values, "with the plan's own values the override changes nothing"
    assert swept.sweep.best.metric == max(each.metric or 0 for each in swept.sweep.results)
    assert validation(swept.run, "two") == swept.sweep.best.metric


def test_a_sweep_does_not_begin_the_stage(swept: Swept) -> None:
    assert not swept.had_begun


def test_every_trial_leaves_its_result_and_all_stand_in_a_table(swept: Swept) -> None:
    table = pd.read_csv(swept.sweep.folder / "trials.csv", dtype={"trial": str})
    assert table["trial"].tolist() == ["0000", "0001", "0002"]
    assert table["best"].sum() == 1
    for each in swept.sweep.results:
        folder = swept.sweep.folder / f"trial_{each.trial}"
        assert read(folder / "result.json")["metric"] == each.metric
        assert read(folder / "trial.json")["status"] == "COMPLETED"
        assert [len(history) for history in histories(swept.sweep, each.trial)] == [each.epochs]


def test_what_is_lost_on_the_stage_before_is_measured_on_its_validation_rows(swept: Swept) -> None:
    before = read(swept.sweep.folder / "sweep.json")["before"]
    assert before == {"one": validation(swept.run, "one")}
    assert all(set(each.drops) == {"one"} for each in swept.sweep.results)


def test_gate_and_test_rows_are_not_read(swept: Swept) -> None:
    assert not swept.read_by_sweep
    assert swept.read_by_training == {"inputs", "examples"}  # what measures a stage does read them


@pytest.mark.slow
def test_a_crash_is_recorded_and_the_sweep_goes_on(place: SweepPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*args: Any, **kwargs: Any) -> Any:
        import tensorflow as tf

        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    plan = two_stages(optimizer={"name": "sgd", "learning_rate": 0.01}, adaptation={"method": "full"})
    settings = {"oracle": "grid", "space": {"optimizer.learning_rate": {"choice": [1e30, 0.02, 0.03]}}}
    with monkeypatch.context() as patch:
        patch.setattr(Attempt, "train", out_of_memory)
        with pytest.raises(ProgressiveError, match=r"none of 1 trials is feasible \(ResourceExhaustedError: OOM"):
            place.sweep(plan, trials=1, **settings)
    (given_up,) = (path / "trial_0003" for path in place.folder.glob("runs/*/sweeps/02-two"))
    given_up.mkdir()
    (given_up / "starts.json").write_text(json.dumps({"starts": 3, "lines": 0}))

    found = place.sweep(plan, trials=4, **settings)
    assert [(each.status, dict(each.values)) for each in found.results] == [
        ("crashed", {}),
        ("crashed", {"optimizer.learning_rate": 1e30}),
        ("feasible", {"optimizer.learning_rate": 0.02}),
        ("crashed", {"optimizer.learning_rate": 0.03}),
    ]
    reasons = [each.reason or "" for each in found.results]
    assert "OOM" in reasons[0]
    assert "the loss is" in reasons[1]
    assert "ended 3 times at the same epoch" in reasons[3]
    assert (found.folder / "trial_0001" / "crash.txt").read_text().startswith("Traceback")


@pytest.mark.slow
def test_a_trial_that_forgets_too_much_never_wins(place: SweepPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    def far_above(*args: Any) -> dict[str, float]:
        return {"one": 3.0}

    monkeypatch.setattr(beginning, "metric_before", far_above)
    with pytest.raises(ProgressiveError, match=r"none of 1 trials is feasible .*raise tune.drop_at_most"):
        place.sweep(two_stages(), trials=1, oracle="random", space=SPACE)
    (result,) = place.folder.glob("runs/*/sweeps/02-two/trial_0000/result.json")
    assert read(result)["status"] == "infeasible"


@pytest.mark.slow
def test_a_first_stage_is_swept_from_the_runs_start_and_a_trial_is_a_mean_over_seeds(place: SweepPlace) -> None:
    found = place.sweep(two_stages(), index=0, trials=1, seeds=2, metric="log_loss", space=SPACE)
    (trial,) = found.results
    assert (trial.status, dict(trial.drops)) == ("feasible", {})
    assert trial.by_seed[0] == validation(found.folder.parents[1], "one", "log_loss")
    assert len(set(trial.by_seed)) == 2
    assert trial.metric == pytest.approx(np.mean(trial.by_seed))
    assert trial.epochs == sum(map(len, histories(found, "0000")))


@pytest.mark.usefixtures("untrained")
def test_a_stage_begins_with_the_best_of_the_sweep_before_it(place: SweepPlace) -> None:
    batches = {"batch_size": {"choice": [4, 8]}}
    before = place.sweep(two_stages(), index=0, trials=5, oracle="grid", space={**batches, "epochs": {"int": [1, 2]}})
    assert dict(before.best.values) == {"batch_size": 8, "epochs": before.best.values["epochs"]}
    found = place.sweep(two_stages(), trials=3, oracle="random", space=SPACE | batches)
    assert [each.origin for each in found.results] == ["plan", "best of one", "random"]
    assert dict(found.results[1].values) == {"batch_size": 8}  # `epochs` is not searched here


class Stopped:
    """A sweep by hyperband, and the same again, interrupted before a trial's result and within one that continues."""

    def __init__(self, begun: Path, folder: Path) -> None:
        plan = two_stages(adaptation={"method": "full"}, early_stopping=None)
        settings = {"trials": 4, "oracle": "hyperband", "space": RATES}
        self.alone = copy_of(begun, folder / "alone").sweep(plan, **settings)
        place = copy_of(begun, folder / "stopped")
        for trials, epochs in ((1, 1), (2, 2)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Attempt, "train", _stopping(trials, epochs))
                with pytest.raises(KeyboardInterrupt, match="The same command continues"):
                    place.sweep(plan, **settings)
        self.sweep = place.sweep(plan, **settings)


def _stopping(trials: int, epochs: int) -> Callable[..., Any]:
    """Returns the training of trials, of which one is interrupted after so many epochs."""
    begun = iter(range(100))
    whole = Attempt.train

    def train(attempt: Attempt, pause_after: int | None = None) -> Any:
        if next(begun) < trials:
            return whole(attempt, pause_after)
        whole(attempt, epochs)
        raise KeyboardInterrupt

    return train


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, begun: Path) -> Stopped:
    return Stopped(begun, tmp_path_factory.mktemp("stopped"))


@pytest.mark.slow
def test_a_sweep_that_was_stopped_ends_as_it_would_have(stopped: Stopped) -> None:
    assert told(stopped.sweep) == told(stopped.alone)
    assert stopped.sweep.best.trial == stopped.alone.best.trial
    assert stopped.sweep.best.whole


@pytest.mark.slow
def test_hyperband_goes_on_with_a_trial_rather_than_train_it_again(stopped: Stopped) -> None:
    for found in (stopped.alone, stopped.sweep):
        continued = [each for each in found.results if each.continues]
        assert continued
        for each in continued:
            earlier = next(other for other in found.results if other.trial == each.continues)
            (first,), (both,) = histories(found, earlier.trial), histories(found, each.trial)
            assert earlier.epochs < each.epochs
            assert both[: earlier.epochs].equals(first)
            assert (each.origin, dict(each.values)) == (earlier.origin, dict(earlier.values))
        assert {each.epochs for each in found.results} == {1, 3}


@pytest.mark.usefixtures("untrained")
def test_another_sweep_than_that_which_began_is_refused(place: SweepPlace) -> None:
    place.sweep(two_stages(), trials=2, oracle="random", space=SPACE)
    other = {"batch_size": {"choice": [8, 32]}}
    with pytest.raises(InputError, match=r"was another:(.|\s)*tune --fresh") as refused:
        place.sweep(two_stages(epochs=2), trials=2, oracle="bayesian", space=other)
    for change in (
        "space.optimizer.learning_rate: was ",
        "oracle: was 'random', now 'bayesian'",
        "stage.epochs: was 3",
    ):
        assert change in str(refused.value)
    fresh = place.sweep(two_stages(), trials=1, oracle="random", space=other, fresh=True)
    assert len(fresh.results) == 1
    assert len(list(fresh.folder.parent.glob("02-two.before-*"))) == 1


@pytest.mark.slow
def test_conditional_keys_are_searched_beside_their_choice_only(place: SweepPlace) -> None:
    space = {
        "adaptation.method": {"choice": ["head", "top-blocks"]},
        "adaptation.blocks": {"choice": [1, 2], "when": {"adaptation.method": "top-blocks"}},
    }
    tune = {"warm_start": False, "trials": 2, "oracle": "grid", "space": space}
    found = place.sweep(two_stages(tune=tune))
    assert [(each.origin, dict(each.values)) for each in found.results] == [
        ("grid", {"adaptation.method": "head"}),
        ("grid", {"adaptation.method": "top-blocks", "adaptation.blocks": 1}),
    ]
    assert {each.status for each in found.results} == {"feasible"}


@pytest.mark.slow
def test_retention_can_be_searched(place: SweepPlace) -> None:
    space = {"retention.replay.fraction": {"choice": [0.1, 0.3]}, "retention.ewc": {"choice": [None, {"samples": 10}]}}
    tune = {"warm_start": False, "trials": 2, "oracle": "grid", "space": space, "drop_at_most": 1.0}
    found = place.sweep(two_stages(data={"take_new": 40}, tune=tune))
    assert [(dict(each.values), each.status) for each in found.results] == [
        ({"retention.replay.fraction": 0.1, "retention.ewc": ewc}, "feasible") for ewc in (None, {"samples": 10})
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("_determinism")
def test_trials_add_up_to_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network of texts, whose gradients are written out, and with weights that every trial adds anew."""
    alive: list[int] = []

    def run(trials: Trials, *args: Any, original: Callable[..., Any] = trial_module.Trials.run) -> Any:
        result = original(trials, *args)
        gc.collect()
        alive.append(sum(type(each).__name__ in ("FuncGraph", "ConcreteFunction") for each in gc.get_objects()))
        return result

    monkeypatch.setattr(trial_module.Trials, "run", run)
    plan = small_plan({"name": "one", "data": {"take": 40}, "epochs": 1, "adaptation": {"method": "lora"}})
    plan["model"] = plan["model"] | {"config": plan["model"]["config"] | {"num_hidden_layers": 1}}
    SweepPlace(tmp_path).sweep(plan, index=0, trials=3, oracle="random", space=RATES)
    assert alive[2] == alive[1]


class Tuned:
    """A plan that sweeps its second stage before it trains it, run twice."""

    def __init__(self, begun: Path, folder: Path) -> None:
        self.place = copy_of(begun, folder)
        tune = {"warm_start": False, "trials": 1, "oracle": "random", "space": SPACE, "seed": 5}
        self.plan = two_stages(tune=tune)
        self.finished = self.place.train(self.plan)
        self.sweep = read(self.finished.run / "sweeps" / "02-two" / "sweep.json")
        self.again = self.place.train(self.plan)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, begun: Path) -> Tuned:
    return Tuned(begun, tmp_path_factory.mktemp("tuned"))


@pytest.mark.slow
def test_a_plan_may_sweep_a_stage_before_it_trains(tuned: Tuned) -> None:
    assert tuned.finished.promoted
    assert validation(tuned.finished.run, "two") == tuned.sweep["best"]["metric"]
    change = read(stage_folder(tuned.finished.run, "two") / "tuned.json")
    assert change.get("batch_size", 16) == tuned.sweep["best"]["values"].get("batch_size", 16)


@pytest.mark.slow
def test_a_tuned_run_is_continued_with_what_was_found(tuned: Tuned) -> None:
    assert tuned.again == replace(tuned.finished, was_before=True)


@pytest.mark.slow
@pytest.mark.usefixtures("untrained")
def test_the_sweep_of_a_tuned_run_takes_more_trials(tuned: Tuned) -> None:
    assert tuned.sweep["best"]["values"], "with the plan's own values it works"
    more = tuned.place.sweep(tuned.plan, trials=2)
    assert more.folder == tuned.finished.run / "sweeps" / "02-two"
    assert len(more.results) == 2


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
