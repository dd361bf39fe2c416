"""Explanations of probes, from stage to stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tiny
from releasing import PASSES, Place, small_plan

from progressive_tf.errors import InputError
from progressive_tf.evaluation.explanations import agreement, words_of
from progressive_tf.evaluation.gate import Compared, ReasonsKept, judge
from progressive_tf.models.integrated_gradients import explanations, tokens_of
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.loading import validate
from progressive_tf.registry import Registry
from progressive_tf.reporting.page import write_report

PLANTED = "thinga"
PROBES = {"take": 30, "steps": 16}
KEEPS = {"metric": "explanation_correlation", "at_least": 0.2, "min_samples": 5}


def planted(path: Path, count: int) -> None:
    """Writes sentences whose label is given away by a word: the positive ones have it, and the negative ones do not."""
    texts, labels = tiny.sentences(count, seed=5)
    rows = []
    for text, label in zip(texts, labels, strict=True):
        words = [word for word in text.split() if word not in (PLANTED, *tiny.WORDS[:4])]
        rows.append(f"{' '.join([*words, PLANTED] if label else [*words, 'thingb'])},{tiny.LABELS[label]}")
    path.write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> tuple[Path, Path]:
    """A run's folder, and its registry's.

    The second stage learns a planted word; the third goes back, adds to the network, and is rejected for it.
    """
    folder = tmp_path_factory.mktemp("explained")
    tiny.write_csv(folder / "data.csv", 400)
    planted(folder / "planted.csv", 400)
    kept, changed = (KEEPS | {"at_least": least} for least in (0.0, 0.99))
    plan = small_plan(
        {"name": "one", "data": {"take": 200}},
        {"name": "two", "data": {"source": "planted.csv", "all": True}, "gate": [PASSES, kept]},
        {
            "name": "three",
            "data": {"take": 250},
            "adaptation": {"method": "lora", "rank": 2},
            "optimizer": {"name": "adam", "learning_rate": 0.05},
            "gate": [PASSES, changed],
        },
        probes=PROBES,
    )
    plan["model"] |= {"config": tiny.CONFIG | {"num_hidden_layers": 1}}
    plan["defaults"] |= {
        "epochs": 12,
        "adaptation": {"method": "full"},
        "optimizer": {"name": "adam", "learning_rate": 0.003},
    }
    plan["data"]["quality"] = dict.fromkeys(("label_noise", "duplicates", "conflicting_labels"), None) | {
        "leakage": "warn"
    }
    return Place(folder).run(plan).run, folder / "registry"


def probes(run: Path, stage: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((next(run.glob(f"stages/*-{stage}")) / "explanations.json").read_text())[
        "probes"
    ]
    return found


def rank_of(word: str, probe: dict[str, Any]) -> int:
    """Returns how many words of a probe are stronger."""
    words = sorted(words_of(probe["parts"], probe["values"]), key=lambda each: -abs(each[1]))
    return [each for each, _ in words].index(word)


def value_of(word: str, probe: dict[str, Any]) -> float:
    return dict(words_of(probe["parts"], probe["values"]))[word]


@pytest.mark.slow
def test_values_add_up_and_the_probes_are_the_same_in_every_stage(explained: tuple[Path, Path]) -> None:
    run, _ = explained
    before, after = probes(run, "one"), probes(run, "two")
    assert [each["row"] for each in before] == [each["row"] for each in after]
    assert len(before) == 30
    assert all(each["error"] < 0.05 for each in (*before, *after))
    for each in before:
        assert len(each["parts"]) == len(each["values"])
        assert each["parts"][0] == "[CLS]"


@pytest.mark.slow
def test_a_planted_word_stands_out(explained: tuple[Path, Path]) -> None:
    run, _ = explained
    having = [place for place, each in enumerate(probes(run, "one")) if PLANTED in each["parts"]]
    assert len(having) >= 5
    found = {stage: probes(run, stage) for stage in ("one", "two")}
    strength = [np.mean([abs(value_of(PLANTED, found[stage][place])) for place in having]) for stage in found]
    assert strength[0] < 0.1
    assert strength[1] > 1.0
    assert np.median([rank_of(PLANTED, found["two"][place]) for place in having]) <= 1
    facts = json.loads((next(run.glob("stages/*-two")) / "metrics.json").read_text())["explanations"]
    assert facts["predecessor"] == "one"
    assert facts["correlation"] < 0.9
    page = write_report(run).read_text(encoding="utf-8")
    table = page.partition("Probes of two whose reasons changed most")[2].partition("</table>")[0]
    assert f"{PLANTED} <span" in table, "it is among the strongest words"


@pytest.mark.slow
def test_a_version_has_its_explanations(explained: tuple[Path, Path]) -> None:
    run, registry = explained
    model = Registry(registry).model("tiny")
    for version, stage in zip(model.versions(), ("one", "two"), strict=True):
        kept = json.loads((version.folder / "assets.extra" / "explanations.json").read_text())
        assert kept["probes"] == probes(run, stage)
    assert model.verify() == ()


@pytest.mark.slow
def test_a_rule_can_reject_other_reasons(explained: tuple[Path, Path]) -> None:
    run, _ = explained
    decision = json.loads((next(run.glob("stages/*-three")) / "decision.json").read_text())
    assert decision["decision"] == "reject"
    assert "at least 0.99 asked: beyond the threshold" in decision["reason"]


def test_more_probes_than_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"probes\.take: 61 asked, the first stage has 60 gate rows; lower it"):
        Place(tmp_path).run(small_plan({"name": "one", "data": {"take": 40}}, probes={"take": 61}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probes": {"take": 0}}, "take"),
        (
            {"probes": {}, "task": "tabular-classification", "model": {"builder": "mlp"}},
            "explain classes of texts and images",
        ),
        ({"probes": {}, "scenario": "task-incremental"}, "a network of several tasks is not explained"),
        ({"defaults": {"gate": [KEEPS]}}, "needs probes; add probes"),
        ({"probes": {}, "defaults": {"gate": [KEEPS | {"confidence": 0.9}]}}, "takes at_least alone"),
    ],
)
def test_a_plan_that_cannot_be_explained_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate(tiny.raw_plan(**changes), "plan.yaml")


def test_a_rule_on_reasons_by_hand() -> None:
    rule = GateRule(**KEEPS)
    for reasons, decision in (
        (None, "hold"),
        (ReasonsKept(None, 0), "hold"),  # not applicable, and no other rule
        (ReasonsKept(None, 9), "hold"),
        (ReasonsKept(0.9, 4), "hold"),
        (ReasonsKept(0.2, 5), "promote"),
        (ReasonsKept(0.1, 5), "reject"),
    ):
        assert judge([rule], Compared({}, None, [], reasons=reasons), 0).decision == decision


def test_agreement_by_hand() -> None:
    before = [{"row": 1, "parts": list("abc"), "values": [1.0, 2.0, 3.0]}, {"row": 2, "parts": ["a"], "values": [1.0]}]
    after = [{"row": 1, "parts": list("abc"), "values": [1.0, 3.0, 2.0]}, {"row": 2, "parts": ["a"], "values": [5.0]}]
    found = agreement(before, after)
    assert found.correlation == pytest.approx(0.5)
    assert (found.probes, found.of_probe[1]) == (1, None)
    with pytest.raises(ValueError, match="other probes"):
        agreement(before, after[:1])
    assert words_of(["[CLS]", "un", "##kind", "act", "[SEP]"], [9, 1, 2, 4, 9]) == [("unkind", 3), ("act", 4)]


def test_a_linear_network_is_explained_by_its_weights() -> None:
    from progressive_tf.models.preprocessing.images import ImagePreprocessing

    weights = np.random.default_rng(0).normal(size=(8, 8, 3)).astype(np.float32)

    class Linear(tf.keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.preprocess = ImagePreprocessing(8)
            self.blocks: list[Any] = [None]

        def call(self, state: dict[str, tf.Tensor], training: bool = False, first_block: int = 0) -> tf.Tensor:
            logit = tf.reduce_sum(tf.cast(state["inputs"], tf.float32)[:, 0] / 255 * weights, axis=[1, 2, 3])
            return tf.stack([logit, -logit], axis=1)

    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    (found,) = explanations(Linear(), [tf.io.encode_png(pixels).numpy()], [0], 8)
    expected = (pixels / 255 * weights).sum(axis=2)
    assert found.values.reshape(8, 8) == pytest.approx(expected, abs=1e-4)
    assert found.error < 1e-4
    assert ImagePreprocessing(32).attributed(np.ones((1, 32, 32, 1))).tolist() == [4.0] * 256


@pytest.mark.slow
def test_a_network_that_changes_is_explained_as_it_is_then(explained: tuple[Path, Path]) -> None:
    run, _ = explained
    before, after = probes(run, "two"), probes(run, "three")
    scored = pd.read_parquet(next(run.glob("stages/*-three")) / "predictions.parquet")
    scored = scored[scored["part"] == "gate"].drop_duplicates("text").set_index("text")
    for old, new in zip(before, after, strict=True):
        probability = scored.loc[new["text"], "probabilities"][tiny.LABELS.index(new["label"])]
        assert new["probability"] == pytest.approx(probability, abs=1e-4)
        assert new["error"] < 0.05
        assert new["values"] != old["values"]


def test_a_network_without_embeddings_is_refused() -> None:
    from progressive_tf.models.preprocessing.texts import TextPreprocessing

    class Other:
        preprocess = TextPreprocessing(tiny.VOCABULARY, True, 16)
        blocks = (tf.keras.layers.Layer(name="convolution"),)

    with pytest.raises(InputError, match="block 'convolution' is no embeddings"):
        explanations(Other(), ["good"], [0], 8)  # type: ignore[arg-type]
    assert tokens_of(Other(), "good thinga", tiny.VOCABULARY) == ["[CLS]", "good", "thinga", "[SEP]"]  # type: ignore[arg-type]
