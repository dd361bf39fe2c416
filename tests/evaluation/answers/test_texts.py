"""Texts that were written, their metrics against sacrebleu and by hand, their bootstrap, and the gate."""

from __future__ import annotations

import subprocess
import sys
from math import exp
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.answers.texts import TextAnswers, pseudo_texts, text_features, text_metric
from progressive_tf.evaluation.bootstrap import intervals, resample_drop, resample_metrics
from progressive_tf.evaluation.gate import Compared, judge
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.metric_names import TEXTS

WORDS = ("the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "tree", "today", "slowly")
HIGHEST = {name: metric.highest for name, metric in TEXTS.metrics.items()}


def written(predicted: list[str], truth: list[str]) -> TextAnswers:
    rows = [np.array(each, dtype=object) for each in (truth, predicted)]
    return TextAnswers(*rows, np.ones(len(truth), np.float32))


def translated(rows: int, seed: int, wrong: float = 0.3) -> TextAnswers:
    """Returns texts that depend on the number of rows alone, each of whose words is written wrongly so often."""
    data, generator = np.random.default_rng(rows), np.random.default_rng(seed)
    truth = [data.choice(WORDS, data.integers(4, 13)).tolist() for _ in range(rows)]
    predicted = [[generator.choice(WORDS) if generator.random() < wrong else word for word in text] for text in truth]
    return written([" ".join(text) for text in predicted], [" ".join(text) for text in truth])


def texts(*each: str) -> np.ndarray:
    return np.array(each, dtype=object)


def three() -> TextAnswers:
    return TextAnswers(texts("a b", "c", ""), texts("a b", "C", ""), np.array([0.9, 0.5, 1.0], np.float32))


def test_right_is_what_is_written_exactly() -> None:
    predictions = three()
    assert len(predictions) == 3
    assert predictions.right.dtype == bool
    assert predictions.right.tolist() == [True, False, True]
    assert predictions.knowable.all()
    assert predictions.as_answered() is predictions
    assert predictions.labels == ()
    assert predictions.confidence.dtype == np.float32


@pytest.mark.parametrize("rows", [[2, 0, 2], np.array([True, False, True]), [], np.zeros(3, bool)])
def test_rows_are_taken_by_index_or_mask(rows: Any) -> None:
    predictions = three()
    chosen = np.arange(3)[np.asarray(rows, dtype=None if len(rows) else int)]
    taken = predictions.take(rows)
    assert taken.truth.tolist() == [predictions.truth[row] for row in chosen]
    assert taken.predicted.tolist() == [predictions.predicted[row] for row in chosen]
    assert taken.confidence.tolist() == [predictions.confidence[row] for row in chosen]


def test_slices_are_joined_in_order() -> None:
    predictions = three()
    joined = predictions.take([0]).join([predictions.take([]), predictions.take([1, 2])])
    for name in ("truth", "predicted", "confidence"):
        assert getattr(joined, name).tolist() == getattr(predictions, name).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predicted": texts("a")}, "predicted: 3 rows expected; got 1"),
        ({"confidence": np.ones(4)}, "confidence: 3 rows expected; got 4"),
        ({"truth": np.array(["a", None, "b"], dtype=object)}, r"truth\[1\]: a text expected; got None"),
        ({"predicted": np.array(["a", "b", 3], dtype=object)}, r"predicted\[2\]: a text expected; got 3"),
        ({"confidence": np.array([0.1, np.nan, 0.2])}, r"confidence\[1\]: a number from 0 to 1 expected; got nan"),
        ({"confidence": np.array([0.1, 0.3, 1.2])}, r"confidence\[2\]: a number from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, np.ndarray], message: str) -> None:
    good = three()
    parts = {name: getattr(good, name) for name in ("truth", "predicted", "confidence")}
    with pytest.raises(ValueError, match=message):
        TextAnswers(**(parts | change))


def test_statistics_are_counted_once() -> None:
    predictions = three()
    assert predictions.word_ngrams is predictions.word_ngrams
    assert predictions.word_ngrams.shape == (3, 10)
    assert predictions.character_ngrams.shape == (3, 18)
    assert predictions.take([]).word_ngrams.shape == (0, 10)
    assert predictions.take([]).character_ngrams.shape == (0, 18)


def agrees_with_sacrebleu(predicted: list[str], truth: list[str]) -> None:
    predictions = written(predicted, truth)
    for name, reference in (("bleu", BLEU(force=True)), ("chrf", CHRF())):
        expected = reference.corpus_score(predicted, [truth]).score
        found = float(text_metric(text_features(predictions).sum(axis=0), name))
        assert found == pytest.approx(expected, abs=1e-9, rel=0), name
        if name == "chrf" or predictions.word_ngrams[:, 1].max() >= 4:
            assert predictions.measure(name) == found
    right = [one == other for one, other in zip(predicted, truth, strict=True)]
    assert predictions.measure("exact_match") == sum(right) / len(right)


@pytest.mark.parametrize(
    ("predicted", "truth"),
    [
        (["The cat, it sat on the mat."], ["The cat sat on the mat."]),
        (["the cat sat on the mat", "yes"], ["the cat sat on a mat", "no"]),
        (["", ""], ["a b c d e", "f"]),
        (["", "a b c d e"], ["a b c d", "a b c d e"]),
        ([""], [""]),
        (["a b c d"], [""]),
        (["one two three four five"], ["six seven eight nine ten"]),
        (["yes", "no"], ["yes", "yes"]),
        (["a"], ["a"]),
        (["the the the the the the the"], ["the cat is on the mat"]),
        (["twenty-one thousand, four hundred"], ["21,400"]),
        (["größer  als\u00a0zuvor .", "日本語 テスト"], ["größer als zuvor.", "日本語テスト"]),
    ],
)
def test_texts_by_hand_have_the_scores_of_sacrebleu(predicted: list[str], truth: list[str]) -> None:
    agrees_with_sacrebleu(predicted, truth)


SENTENCES = st.lists(st.sampled_from([*WORDS, "mat.", "“cat”", "1,000"]), max_size=9).map(" ".join)


@given(st.lists(st.tuples(SENTENCES | st.text(max_size=12), SENTENCES | st.text(max_size=12)), min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_texts_have_the_scores_of_sacrebleu(pairs: list[tuple[str, str]]) -> None:
    predicted, truth = map(list, zip(*pairs, strict=True))
    agrees_with_sacrebleu(predicted, truth)


def test_bleu_by_hand() -> None:
    truth = ["the cat sat on a mat"]
    # Of 6 words 5 match, "the" once only; of 5 pairs 3; of 4 triples 2; of 3 quadruples 1.
    found = written(["the cat sat on the mat"], truth).measure("bleu")
    assert found == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4))
    # 4 of 4 and 2 of 3; neither "the cat on" nor "cat on a" is expected, nor are all four: ½ of 2, then ¼ of 1.
    found = written(["the cat on a"], truth).measure("bleu")
    assert found == pytest.approx(100 * exp(1 - 6 / 4) * (4 / 4 * 2 / 3 * (1 / 2) / 2 * (1 / 4) / 1) ** (1 / 4))


def test_chrf_by_hand() -> None:
    # Of "a", "b" and "ab" all match; expected are three letters and two pairs. No triple is written: it is left out.
    precision, recall = (2 / 2 + 1 / 1) / 2, (2 / 3 + 1 / 2) / 2
    found = written(["a b"], ["abc"]).measure("chrf")
    assert found == pytest.approx(100 * 5 * precision * recall / (4 * precision + recall))
    assert found == pytest.approx(100 * 7 / 11)


def test_scores_are_of_the_corpus_and_not_means_of_rows() -> None:
    predictions = translated(20, 1)
    for name in ("bleu", "chrf"):
        mean = np.mean([predictions.take([row]).measure(name) for row in range(20)])
        assert abs(float(predictions.measure(name) or 0) - mean) > 0.1


def test_leading_axes_are_resamples() -> None:
    features = text_features(translated(30, 1))
    sums = np.stack([features[:10].sum(axis=0), features[10:].sum(axis=0), 0 * features[0]]).reshape(3, 1, 30)
    for name in ("bleu", "chrf"):
        found = text_metric(sums, name)
        assert found.shape == (3, 1)
        assert found[1, 0] == pytest.approx(translated(30, 1).take(np.arange(10, 30)).measure(name))
        assert found[2, 0] == 0


def test_names_support_and_what_is_undefined() -> None:
    predictions = translated(9, 1)
    assert predictions.names == list(TEXTS.metrics)
    assert all(predictions.has_label(name) for name in predictions.names)
    assert {predictions.support(name) for name in predictions.names} == {9}
    empty = predictions.take([])
    assert [empty.measure(name) for name in empty.names] == [None] * 3
    assert {entry["value"] for entry in intervals(empty).values()} == {None}


@pytest.mark.parametrize("name", ["accuracy", "entity_f1", "recall/yes", "log_loss"])
def test_metrics_of_other_kinds_are_refused(name: str) -> None:
    for ask in (TextAnswers.measure, lambda *of: resample_metrics(of[0], [of[1]], 10)):
        with pytest.raises(ValueError, match=f"unknown metric '{name}'.*chrf"):
            ask(translated(5, 1), name)
    classes = ClassAnswers(("no", "yes"), np.zeros(5, int), np.tile([0.9, 0.1], (5, 1)))
    with pytest.raises(ValueError, match="unknown metric 'chrf'"):
        classes.measure("chrf")


def test_neither_plans_nor_the_gate_import_sacrebleu() -> None:
    code = "import sys, progressive_tf.evaluation.gate; sys.exit('sacrebleu' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pseudo_texts_are_all_right_or_all_wrong() -> None:
    right, wrong = pseudo_texts(translated(50, 1))
    for name, highest in HIGHEST.items():
        assert float(text_metric(right, name)) == pytest.approx(highest)
        assert float(text_metric(wrong, name)) == 0
    assert (wrong <= right).all()
    other, _ = pseudo_texts(translated(50, 2, wrong=0.9))
    assert np.array_equal(right, other)


@pytest.mark.parametrize("name", list(TEXTS.metrics))
def test_resampled_values_lie_around_the_value(name: str) -> None:
    predictions = translated(200, 1)
    found = resample_metrics(predictions, [name], 2_000, seed=0)[name]
    assert found.value == predictions.measure(name)
    low, high = np.quantile(found.samples, [0.025, 0.975])
    assert low < found.value < high
    # The pseudo-observations pull towards one half.
    assert found.samples.mean() == pytest.approx(found.value, abs=0.01 * HIGHEST[name])


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_the_spread_is_that_of_drawing_rows(name: str) -> None:
    predictions = translated(400, 1, wrong=0.5)
    features = text_features(predictions)
    generator = np.random.default_rng(0)
    drawn = np.array([features[generator.integers(400, size=400)].sum(axis=0) for _ in range(1_500)])
    found = resample_metrics(predictions, [name], 1_500, seed=0)[name].samples
    # Each pseudo-observation counts as far from the mean as the ends of the range are, one in 200 rows.
    of_pseudo = 2 * (HIGHEST[name] / 2 / 402) ** 2
    assert found.std() == pytest.approx(np.sqrt(text_metric(drawn, name).var() + of_pseudo), rel=0.15)


def test_intervals_stay_within_the_range() -> None:
    truth = ["the cat sat on the mat"] * 12
    for predicted in (truth, ["dogs barked"] * 12):
        table = intervals(written(predicted, truth), resamples=500)
        for name, highest in HIGHEST.items():
            value, low, high = (table[name][key] for key in ("value", "low", "high"))
            assert value is not None
            assert low is not None
            assert high is not None
            assert 0 <= low <= value <= high <= highest
            assert high - low > 0.05 * highest


def test_all_metrics_at_once_equal_each_alone() -> None:
    predictions = translated(40, 1)
    together = resample_metrics(predictions, list(HIGHEST), 100, seed=9)
    for name in HIGHEST:
        alone = resample_metrics(predictions, [name], 100, seed=9)[name]
        assert np.array_equal(alone.samples, together[name].samples), name


@pytest.mark.parametrize("name", list(TEXTS.metrics))
def test_a_model_does_not_differ_from_itself_and_who_is_compared_with_whom_is_a_sign(name: str) -> None:
    new, old = translated(80, 1), translated(80, 2)
    same = resample_drop(new, new, name, 2_000, seed=1)
    assert same.value == 0
    assert np.median(same.samples) == pytest.approx(0, abs=0.01 * HIGHEST[name])
    assert same.samples.std() > 0
    one, other = (resample_drop(*pair, name, 4_000, seed=1) for pair in ((new, old), (old, new)))
    assert one.value == -other.value
    assert one.samples.mean() == pytest.approx(-other.samples.mean(), abs=0.01 * HIGHEST[name])


def test_other_expected_texts_are_refused() -> None:
    one = translated(40, 1)
    for other in (translated(41, 1), one.take(np.roll(np.arange(40), 1))):
        with pytest.raises(ValueError, match="same rows"):
            resample_drop(one, other, "chrf", 10)
        with pytest.raises(ValueError, match=rf"same rows.*40 rows of texts and {len(other)} rows of texts"):
            decided([GateRule(metric="chrf", drop_at_most=1)], one, other)


def decided(rules: list[GateRule], candidate: Answers, baseline: Answers, resamples: int = 999) -> str:
    view = [{"current": each, "earlier": each} for each in (candidate, baseline)]
    return judge(rules, Compared(*view, ["earlier"]), seed=0, resamples=resamples).decision


def test_the_gate_decides_by_translations() -> None:
    better, worse = translated(300, 1, wrong=0.05), translated(300, 2, wrong=0.6)
    for metric, floor, drop in (("chrf", 60.0, 3.0), ("bleu", 50.0, 3.0), ("exact_match", 0.5, 0.05)):
        rules = [
            GateRule(metric=metric, at_least=floor, confidence=0.95),
            GateRule(metric=metric, slice="every-previous", drop_at_most=drop, confidence=0.95),
        ]
        assert decided(rules, better, worse) == "promote"
        assert decided(rules, worse, better) == "reject"


@pytest.mark.parametrize(("rows", "decision"), [(30, "hold"), (1_000, "promote")])
def test_the_same_model_passes_with_enough_rows_only(rows: int, decision: str) -> None:
    same = translated(rows, 1)
    for rule in (
        GateRule(metric="chrf", drop_at_most=1, confidence=0.95),
        GateRule(metric="bleu", drop_at_most=1, confidence=0.95),
        GateRule(metric="exact_match", drop_at_most=0.01, confidence=0.95),
    ):
        result = judge([rule], Compared({"current": same}, {"current": same}), seed=0, resamples=1_999)
        assert (result.decision, result.rules[0].estimate) == (decision, 0.0), rule.metric
        power = result.rules[0].power
        assert power is not None
        assert (power > 0.9) == (decision == "promote")


def test_bleu_holds_where_no_expected_text_has_four_words() -> None:
    right = written(["one two three", "four"] * 200, ["one two three", "four"] * 200)
    rubbish = written(["five"] * 400, ["one two three", "four"] * 200)
    assert right.measure("bleu") is None
    assert intervals(right)["bleu"] == {"value": None, "low": None, "high": None, "n": 400}
    rules = {
        metric: GateRule(metric=metric, slice="every-previous", drop_at_most=1.0, confidence=0.95)
        for metric in ("bleu", "chrf")
    }
    for metric, decision in (("bleu", "hold"), ("chrf", "reject")):
        views = [{"current": each, "all": each, "one": each} for each in (rubbish, right)]
        assert judge([rules[metric]], Compared(views[0], views[1], ["one"]), 0).decision == decision


def test_a_slice_that_is_missing_or_empty_and_too_few_rows_hold() -> None:
    some = translated(40, 1)
    for rule in (GateRule(metric="chrf", at_least=1), GateRule(metric="chrf", drop_at_most=90)):
        assert decided([rule], some, some) == "promote"
        missing = judge([rule], Compared({"all": some}, {"all": some}), seed=0)
        assert missing.decision == "hold"
        assert "no predictions for slice 'current'" in missing.reason
        empty = judge([rule], Compared({"current": some.take([])}, {"current": some.take([])}), seed=0)
        assert empty.decision == "hold"
        assert "no rows" in empty.reason
        few = judge([rule], Compared({"current": some.take(range(29))}, {"current": some.take(range(29))}), seed=0)
        assert "rests on 29 rows" in few.reason


def test_a_drop_as_large_as_allowed_passes() -> None:
    truth = ["the cat"] * 100
    candidate, baseline = (written(["the cat"] * right + [""] * (100 - right), truth) for right in (88, 90))
    rule = GateRule(metric="exact_match", drop_at_most=0.02)
    assert decided([rule], candidate, baseline) == "promote"
    fall = float(baseline.measure("chrf") or 0) - float(candidate.measure("chrf") or 0)
    assert decided([GateRule(metric="chrf", drop_at_most=fall)], candidate, baseline) == "promote"
    assert decided([GateRule(metric="chrf", drop_at_most=fall - 1e-6)], candidate, baseline) == "reject"


@given(st.integers(0, 10**6), st.floats(0, 0.6), st.sampled_from(list(TEXTS.metrics)))
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_changes_nothing(seed: int, wrong: float, metric: str) -> None:
    candidate, baseline = translated(60, seed, wrong), translated(60, seed + 1)
    rules = [
        GateRule(metric=metric, at_least=0.6 * HIGHEST[metric], confidence=0.9),
        GateRule(metric=metric, drop_at_most=0.05 * HIGHEST[metric], confidence=0.9),
    ]
    order = np.random.default_rng(seed).permutation(60)
    straight, shuffled = (
        judge(rules, Compared({"current": new}, {"current": old}), seed=3, resamples=199).to_json()
        for new, old in ((candidate, baseline), (candidate.take(order), baseline.take(order)))
    )
    assert shuffled == straight
