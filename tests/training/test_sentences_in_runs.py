"""Plans over tagged sentences: stages, their records, resume, methods, the report and what is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tiny
from fitting import killed_after
from releasing import Place, begin, copied, read, stage_folder
from test_tagging import TEXTS

from progressive_tf.data.tags import kinds_in
from progressive_tf.display import Display
from progressive_tf.models.block_model import read_weights
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.registry.store import Registry
from progressive_tf.reporting.page import write_report
from progressive_tf.training.answers.predictions_file import load_predictions
from progressive_tf.training.answers.served_tags import tag_exported
from progressive_tf.training.answers.tags import TagAnswering
from progressive_tf.training.run.run import Run, load_run
from progressive_tf.training.run.run_folder import RunFolder

pytestmark = pytest.mark.slow

MAX_LENGTH = 8  # most sentences become two windows or three
PASSES = {"metric": "entity_f1", "at_least": 0.0, "min_samples": 1}
NEVER_ENOUGH = PASSES | {"min_samples": 10_000}
NAMES = ("thinga", "thingb", "thingc thingd")
STAGES: tuple[dict[str, Any], ...] = (
    {"name": "one", "data": {"take": 60}, "epochs": 12},
    {
        "name": "two",
        "data": {"all": True},
        "epochs": 6,
        "adaptation": {"method": "top-blocks", "blocks": 1},
        "retention": {"average": {"kind": "ema", "decay": 0.9}},
    },
)


def write_sentences(folder: Path, count: int, seed: int = 0) -> None:
    """Writes sentences in which a name stands after "good" or, as another type, after "bad"."""
    generator = np.random.default_rng(seed)
    lines: list[str] = []
    for _ in range(count):
        for _ in range(generator.integers(1, 4)):
            lines += [f"{word} O" for word in generator.choice(["fine", "poor", "<b>", "."], generator.integers(1, 4))]
            leader, kind = [("good", "person"), ("bad", "place")][generator.integers(2)]
            first, *rest = str(generator.choice(NAMES)).split()
            lines += [f"{leader} O", f"{first} B-{kind}", *(f"{word} I-{kind}" for word in rest)]
        lines.append("")
    (folder / "words.conll").write_text("\n".join(lines), encoding="utf-8")


def tagging_plan(*stages: dict[str, Any], crf: bool = True, **changes: Any) -> dict[str, Any]:
    plan = {
        "name": "names",
        "task": "token-classification",
        "seed": 3,
        "model": {
            "builder": "bert-tagger",
            "weights": None,
            "vocabulary": "vocab.txt",
            "max_length": MAX_LENGTH,
            "config": tiny.CONFIG,
        },
        "data": {
            "source": "words.conll",
            "split": {"validation": 20, "gate": 40, "test": 30},
            "quality": {"label_noise": None, "duplicates": None, "leakage": None, "conflicting_labels": None},
        },
        "defaults": {
            "crf": crf,
            "epochs": 2,
            "batch_size": 8,
            "optimizer": {"name": "adam", "learning_rate": 0.02},
            "schedule": "constant",
            "adaptation": {"method": "full"},
            "gate": [PASSES],
        },
        "stages": list(stages),
    }
    return plan | {"on_hold": "continue"} | changes


def make_place(folder: Path) -> Place:
    write_sentences(folder, 190)
    return Place(folder)


@pytest.fixture(scope="module")
def after_one(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Path:
    """A place where the first stage has ended; copies of it go on."""
    folder = make_place(tmp_path_factory.mktemp("one")).folder
    return begin(folder, tagging_plan(*STAGES), stages=1, releases=False)


@pytest.fixture(scope="module")
def place(after_one: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(copied(after_one, tmp_path_factory.mktemp("sentences")))


@pytest.fixture(scope="module")
def run(place: Place) -> Path:
    """A run that is killed after the fourth epoch of its second stage, and goes on."""
    with killed_after(3):
        place.run(tagging_plan(*STAGES))
    finished = place.run(tagging_plan(*STAGES))
    assert finished.promoted
    return finished.run


def opened(place: Place, run: Path, stage: str) -> Run:
    """Returns a run's session at a stage's weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        plan = RunFolder(run).plan()
        session = load_run(LoadedPlan(plan, place.folder, plan), RunFolder(run), place.folder / "registry", Display())
        session.load(next(record for record in session.stages if record.name == stage))
        return session


def weights(place: Place, run: Path, stage: str) -> dict[str, np.ndarray]:
    return read_weights(opened(place, run, stage).network.named_weights())


def predictions(run: Path, stage: str) -> pd.DataFrame:
    return pd.read_parquet(stage_folder(run, stage) / "predictions.parquet")


def test_the_records_are_those_of_entities(run: Path) -> None:
    assert read(run / "matrix.json")["metric"] == "entity_f1"
    (rule,) = read(stage_folder(run, "two") / "decision.json")["rules"]
    assert rule["rule"]["metric"] == "entity_f1"
    assert rule["estimate"] > 0.8, "names are told by the word before"
    assert read(stage_folder(run, "two") / "metrics.json")["retention"] == {}, "a running average costs nothing"
    rows = predictions(run, "two")
    assert all(
        len(row.tokens) == len(row.tags) == len(row.predicted) == len(row.confidence) for row in rows.itertuples()
    )
    assert rows["confidence"].explode().astype(float).between(0, 1).all()


def test_long_sentences_are_tagged_to_their_end(place: Place, run: Path) -> None:
    rows = predictions(run, "two")
    longest = rows.loc[rows["tokens"].map(len).idxmax()]
    assert len(longest.tokens) > MAX_LENGTH
    assert any(tag != "O" for tag in longest.predicted[MAX_LENGTH:])
    said = (place.folder / "words.conll").read_text(encoding="utf-8").split("\n\n")
    words = [line.split() for line in said[longest.row - 1].splitlines()]
    assert [word for word, _ in words] == list(longest.tokens)
    assert [tag for _, tag in words] == list(longest.tags)


def test_predictions_come_back_as_they_were(place: Place, run: Path) -> None:
    session = opened(place, run, "two")
    loaded = load_predictions(stage_folder(run, "two") / "predictions.parquet", TagAnswering, session.data)
    stage = session.plan.stages[-1]
    depth = session.frozen_depth(session.stages[-1])  # from the outputs that are kept in float16, as they were computed
    assert depth > 0
    for key, (source, rows) in loaded.rows.items():
        now = session.features.answering.predict(source, rows, depth, stage.cache)
        assert np.array_equal(now.truth, loaded.predictions[key].truth)
        assert np.array_equal(now.predicted, loaded.predictions[key].predicted)  # type: ignore[union-attr]
        # Other rows stand beside each in a batch, which changes the order of additions.
        assert np.allclose(now.confidence, loaded.predictions[key].confidence, atol=1e-4)  # type: ignore[union-attr,arg-type]


def test_a_version_answers_as_the_stage_did(place: Place, run: Path) -> None:
    rows = predictions(run, "two")
    version = Registry(place.folder / "registry").model("names").version(1).folder
    assert tag_exported(version, [list(each) for each in rows["tokens"]]) == [list(each) for each in rows["predicted"]]


@pytest.fixture(scope="module")
def served(place: Place, run: Path) -> Any:
    """The version of the run's last stage, as a server loads it."""
    return tf.saved_model.load(str(Registry(place.folder / "registry").model("names").version(1).folder))


def answers(model: Any, inputs: list[Any], signature: str = "serving_default") -> list[list[tuple[Any, ...]]]:
    name = "text" if signature == "serving_default" else signature
    found = {key: value.numpy() for key, value in model.signatures[signature](**{name: tf.constant(inputs)}).items()}
    return [
        list(
            zip(
                *(found[key][row, : found["count"][row]].tolist() for key in ("start", "end", "kind", "score")),
                strict=True,
            )
        )
        for row in range(len(inputs))
    ]


def test_it_says_in_how_many_windows_a_text_was_read(place: Place, served: Any) -> None:
    version = Registry(place.folder / "registry").model("names").version(1)
    assert (version.manifest() or {})["inputs"]["max_length"] == MAX_LENGTH
    texts = tf.constant([*TEXTS, "x" * 500])
    found = served.signatures["serving_default"](text=texts)
    windows, whole, used = (found[name].numpy().tolist() for name in ("windows", "input_tokens", "used_tokens"))
    assert windows[:5] == [1, 1, 0, 0, 1]
    assert windows[5] > 1
    assert whole[:6] == used[:6]


def test_spans_are_places_in_the_text(served: Any) -> None:
    found = answers(served, TEXTS)
    spans = [
        [(text[start:end], kind.decode()) for start, end, kind, _ in row]
        for text, row in zip(TEXTS, found, strict=True)
    ]
    assert spans[0] == [("thinga", "person")]
    assert [place for place, _ in spans[1]] == ["thingc thingd", "thingb"]
    assert spans[2:4] == [[], []]
    assert ("thingc thingd", "person") in spans[5]
    assert all(0 < score <= 1 for row in found for *_, score in row)


def test_a_text_is_answered_alike_alone_as_words_and_among_others(served: Any) -> None:
    together = answers(served, TEXTS)
    for text, expected in zip(TEXTS, together, strict=True):
        (alone,) = answers(served, [text])
        assert [each[:3] for each in alone] == [each[:3] for each in expected]
        assert [each[3] for each in alone] == pytest.approx([each[3] for each in expected], abs=1e-5)
        if words := text.split():
            (of_words,) = answers(served, [words], "tokens")
            assert [" ".join(words[start:end]) for start, end, *_ in of_words] == [
                " ".join(text[start:end].split()) for start, end, *_ in expected
            ]


def test_the_report_shows_wrong_spans_in_their_sentences(run: Path) -> None:
    first = predictions(run, "one")
    wrong = first[[kinds_in(row.tags) != kinds_in(row.predicted) for row in first.itertuples()]]
    page = write_report(run).read_text(encoding="utf-8")
    assert "<mark" in page
    assert "Entity" in page
    assert "<b> " not in page, "words of the data are escaped"
    assert len(first) > len(wrong)


def test_neither_a_kill_nor_kept_outputs_change_a_weight(
    place: Place, run: Path, after_one: Path, tmp_path: Path
) -> None:
    other = Place(copied(after_one, tmp_path))
    plan = tagging_plan(STAGES[0], STAGES[1] | {"cache": {"storage": "off"}})
    apart = other.run(plan, releases=False).run
    mine, theirs = weights(place, run, "two"), weights(other, apart, "two")
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
    assert "prefix: 2 of 3 blocks" in "".join(place.said)
    assert "computed in every epoch (cache: off)" in other.said[-1]


def ewc_over_batches_of_tokens(strength: float) -> dict[str, Any]:
    return {
        "data": {"take": 70},
        "retention": {"ewc": {"strength": strength, "samples": 8, "fisher": "empirical"}},
        "batch_size": {"tokens": 64},
    }


METHODS: dict[str, dict[str, Any]] = {
    "strong ewc": ewc_over_batches_of_tokens(1e4) | {"gate": [NEVER_ENOUGH]},
    "weak ewc": ewc_over_batches_of_tokens(1e-9) | {"gate": [NEVER_ENOUGH]},
    "replay of other sentences, soup of lora, continual evaluation": {
        "retention": {"replay": {"budget": 10}, "average": {"kind": "soup"}},
        "data": {"source": "others.conll", "all": True},
        "adaptation": {"method": "lora", "rank": 2},
        "continual_evaluation": 2,
    },
}


@pytest.fixture(scope="module")
def place_of_methods(after_one: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(copied(after_one, tmp_path_factory.mktemp("methods")))


@pytest.fixture(scope="module")
def of_methods(place_of_methods: Place) -> Path:
    """A run with a stage for each method; only the third is promoted."""
    place = place_of_methods
    words = (place.folder / "words.conll").read_text(encoding="utf-8").split("\n\n")
    (place.folder / "others.conll").write_text("\n\n".join(words[:120]), encoding="utf-8")
    stages = [
        {"name": f"stage-{number}", "data": {"take": 60 + number}} | method
        for number, method in enumerate(METHODS.values())
    ]
    finished = place.run(tagging_plan(STAGES[0], *stages), releases=False)
    assert read(stage_folder(finished.run, "stage-2") / "decision.json")["decision"] == "promote"
    return finished.run


@pytest.mark.parametrize("number", range(len(METHODS)), ids=METHODS)
def test_methods_work_on_words(of_methods: Path, number: int) -> None:
    folder = stage_folder(of_methods, f"stage-{number}")
    assert np.isfinite(pd.read_csv(folder / "history.csv")["loss"]).all()
    costs = read(folder / "metrics.json")["retention"]
    assert list(costs) == list(list(METHODS.values())[number]["retention"])


def test_weights_that_mattered_move_less(place_of_methods: Place, of_methods: Path) -> None:
    start, strong, weak = (weights(place_of_methods, of_methods, name) for name in ("one", "stage-0", "stage-1"))
    moved = [sum(float(np.square(end[name] - start[name]).sum()) for name in start) for end in (strong, weak)]
    assert moved[0] < 0.5 * moved[1]


def test_kept_outputs_change_no_weight_without_a_crf(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    trained = []
    for storage in ("disk", "off"):
        stage = {"name": "only", "data": {"take": 50}, "adaptation": {"method": "head"}, "cache": {"storage": storage}}
        plan = tagging_plan(stage, crf=False)
        plan["model"] |= {"config": tiny.CONFIG | {"num_hidden_layers": 1}}
        trained.append(weights(place, place.run(plan, fresh=True, releases=False).run, "only"))
    assert all(np.array_equal(trained[0][name], trained[1][name]) for name in trained[0])
