from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.stats import chi2_contingency, norm

from progressive_tf.monitoring.drift import (
    DriftTest,
    calibration_drift,
    category_drift,
    classifier_drift,
    judged_together,
    number_drift,
    population_stability_index,
)
from progressive_tf.monitoring.input_drift import PIXELS, input_drift, pixel_statistics, text_drift
from progressive_tf.monitoring.reference import Rows
from progressive_tf.monitoring.snapshot import drift_tests
from progressive_tf.plan.metric_names import TEXTS, AnswerKind, MetricName
from progressive_tf.plan.tasks import TASKS, Inputs
from progressive_tf.serving.answers.texts import fingerprint

FILMS = [
    f"a {mood} film about {thing} number {n % 7}"
    for n in range(60)
    for mood in ("dull", "superb")
    for thing in ("love",)
]
CODE = [f"def function_{n}(value): return value * {n} + offset" for n in range(120)]


def picture(level: int, generator: np.random.Generator) -> dict[str, str]:
    stream = io.BytesIO()
    pixels = np.clip(generator.normal(level, 20, size=(8, 8, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return {"b64": base64.b64encode(stream.getvalue()).decode()}


def pictures(level: int) -> list[dict[str, str]]:
    generator = np.random.default_rng(level)
    return [{"image": picture(level, generator)} for _ in range(80)]


def confident(count: int, offset: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    stated = generator.uniform(0.5, 1.0, count)
    return stated, generator.random(count) < stated + offset


NUMBERS = np.random.default_rng(1).normal(size=300)
STATED = confident(400, 0.0, np.random.default_rng(2))
CASES = {
    "categories": (
        category_drift("predictions", "labels", ["a", "b"] * 100, ["a", "b"] * 100),
        category_drift("predictions", "labels", ["a", "b"] * 100, ["c"] * 200),
    ),
    "numbers": (number_drift("inputs", "x", NUMBERS, NUMBERS), number_drift("inputs", "x", NUMBERS, NUMBERS + 20)),
    "calibration": (calibration_drift(STATED, STATED), calibration_drift(STATED, (STATED[0], ~STATED[1]))),
    "embedding": (
        classifier_drift("x", NUMBERS.reshape(100, 3), NUMBERS.reshape(100, 3), 0),
        classifier_drift("x", NUMBERS.reshape(100, 3), NUMBERS.reshape(100, 3) + 20, 0),
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_identical_data_is_quiet_and_disjoint_data_loud(kind: str) -> None:
    quiet, loud = (judged_together([test], 0.01)[0] for test in CASES[kind])
    assert not quiet.is_drift
    assert loud.is_drift
    assert loud.p_value is not None
    assert loud.p_value < 1e-6
    assert abs(quiet.value or 0.0) < abs(loud.value or 0.0)


@pytest.mark.parametrize(
    ("kind", "same", "other", "names"),
    [
        (
            "texts",
            [{"text": text} for text in FILMS],
            [{"text": text} for text in CODE],
            ["text: words", "text: share of unknown words", "text: embedding"],
        ),
        ("images", pictures(60), pictures(200), []),
        (
            "columns",
            [{"x": float(n), "city": "Bonn"} for n in range(60)],
            [{"x": 99.0 + n, "city": "Ulm"} for n in range(60)],
            ["x", "city"],
        ),
        ("words", [{"tokens": text.split()} for text in FILMS], [{"tokens": text.split()} for text in CODE], []),
        (
            "vectors",
            [{"features": [0.1 * n, 1.0]} for n in range(60)],
            [{"features": [9.0 + n, 1.0]} for n in range(60)],
            [],
        ),
    ],
    ids=["texts", "images", "table", "sentences", "vectors"],
)
def test_inputs_of_every_kind(
    kind: Inputs, same: list[dict[str, object]], other: list[dict[str, object]], names: list[str]
) -> None:
    quiet, loud = (judged_together(input_drift(same, live, kind, 0), 0.01) for live in (same, other))
    assert not any(test.is_drift for test in quiet)
    assert any(test.is_drift for test in loud)
    if names:
        assert [test.name for test in loud] == names


def test_callers_who_ask_in_several_ways_are_compared_each_with_their_own() -> None:
    ids: list[dict[str, object]] = [{"inputs": [1, 2, 1]}] * 3
    mixed = [*ids, *({"text": text} for text in CODE)]
    found = judged_together(input_drift([{"text": text} for text in FILMS], mixed, "texts", 0), 0.01)
    assert [test.name for test in found] == ["text: words", "text: share of unknown words", "text: embedding"]
    assert found[-1].is_drift


def test_texts_without_a_word_in_common_have_no_embedding() -> None:
    found = text_drift("translation", [f"w{n}" for n in range(40)], [f"v{n}" for n in range(40)], 0, "predictions")
    assert [(test.about, test.name.partition(": ")[2]) for test in found] == [
        ("predictions", "words"),
        ("predictions", "share of unknown words"),
    ]


@pytest.mark.parametrize("task", ["text-classification", "translation"])
def test_texts_that_were_written_are_tested_as_texts(task: str) -> None:
    writes, generator = TASKS[task].answers is TEXTS, np.random.default_rng(0)
    before, after = (
        Rows("side", [], [*texts, fingerprint("not kept")], np.full(len(texts) + 1, 0.9), confident(60, 0.0, generator))
        for texts in (FILMS, CODE)
    )
    found = [test for test in drift_tests(before, after, 0, TASKS[task]) if test.about == "predictions"]
    names = ["translation: words", "translation: share of unknown words", "translation: embedding"]
    assert [test.name for test in found] == [*(names if writes else ["labels"]), "confidence"]
    assert all(test.rows == (len(FILMS), len(CODE)) for test in found[:-1]) == writes


def test_numbers_of_a_kind_of_answers_that_is_not_known_are_tested_as_numbers() -> None:
    kind = AnswerKind("numbers", {"error": MetricName("error", maximize=False)}, of_matrices=("error",))
    task = replace(TASKS["tabular-classification"], answers=kind)
    unknown = np.full(60, np.nan)
    before, after = (
        Rows("side", [], [first + place / 60 for place in range(60)], unknown, (unknown[:0], unknown[:0] > 0))
        for first in (0, 2)
    )
    found = [test for test in drift_tests(before, after, 0, task) if test.about == "predictions"]
    assert [(test.name, test.value) for test in found] == [("numbers", 1.0), ("confidence", None)]
    no_numbers = replace(before, answers=["many"] * 60)
    assert drift_tests(no_numbers, no_numbers, 0, task)[0].note == "0 and 0 rows; 30 of each are needed"


def two_samples(kind: str, generator: np.random.Generator) -> DriftTest:
    """Returns a test of two sides that come from the same, of numbers, of two, three or 77 categories, and so on."""
    if kind == "numbers":
        return number_drift("inputs", "x", *generator.normal(size=(2, 100)))
    if kind == "calibration":
        return calibration_drift(confident(200, 0.0, generator), confident(200, 0.0, generator))
    if kind == "embedding":
        return classifier_drift("x", *generator.normal(size=(2, 40, 8)), seed=int(generator.integers(1000)))
    shares = generator.dirichlet(np.ones(int(kind)))
    return category_drift("predictions", "labels", *generator.choice(int(kind), (2, 150), p=shares).astype(str))


@pytest.mark.parametrize("kind", ["numbers", "calibration", "embedding", "3", "77"])
def test_rows_of_the_same_kind_drawn_anew_are_seldom_called_drift(kind: str) -> None:
    generator, times = np.random.default_rng(0), 200
    tests = [two_samples(kind, generator) for _ in range(times)]
    share = np.mean([test.p_value < 0.05 for test in tests if test.p_value is not None])
    assert share < 0.05 + 3 * np.sqrt(0.05 * 0.95 / times)
    assert sum(test.is_drift for test in judged_together(tests, 0.01)) <= 1
    if tests[0].statistic == "PSI":
        assert np.mean([test.value for test in tests]) < 0.05


def test_psi_by_hand() -> None:
    p, q = np.array([10.5, 30.5]) / 41, np.array([20.5, 20.5]) / 41
    assert population_stability_index(np.array([10, 30]), np.array([20, 20])) == pytest.approx(
        ((q - p) * np.log(q / p)).sum() - 2 / 40
    )
    assert population_stability_index(np.array([10, 30]), np.array([10, 30])) == 0


@pytest.mark.parametrize(
    ("before", "after", "same_as", "merged"),
    [
        # Of 400 rows on two equal sides: fewer than 10 of a category are fewer than 5 expected.
        ({"a": 190, "b": 6, "c": 4}, {"a": 188, "b": 2, "c": 10}, ([190, 10], [188, 12]), 2),
        ({"a": 195, "b": 3, "c": 2}, {"a": 199, "b": 1, "c": 0}, ([200], [200]), 3),
        ({"a": 100, "b": 100}, {"a": 90, "b": 110}, ([100, 100], [90, 110]), 0),
        ({"a": 198, "b": 2}, {"a": 100, "b": 100}, ([198, 2], [100, 100]), 0),
    ],
)
def test_rare_categories_are_counted_as_one(
    before: dict[str, int], after: dict[str, int], same_as: tuple[list[int], list[int]], merged: int
) -> None:
    sides = ([name for name, count in side.items() for _ in range(count)] for side in (before, after))
    found = category_drift("inputs", "x", *sides)
    counts = np.array(same_as)
    p_value = chi2_contingency(counts, correction=False).pvalue if counts.shape[1] > 1 else 1.0
    assert found.p_value == pytest.approx(p_value)
    assert (f"{merged} rare ones counted as one" in found.note) == (merged > 0)


def test_calibration_by_hand_with_one_confidence() -> None:
    before = np.full(50, 0.8), np.arange(50) < 40
    after = np.full(100, 0.8), np.arange(100) < 60
    pooled = 101 / 152
    z = 0.2 / np.sqrt(pooled * (1 - pooled) * (1 / 50 + 1 / 100))
    found = calibration_drift(before, after)
    assert found.value == pytest.approx(-0.2)
    assert found.p_value == pytest.approx(2 * norm.sf(z))


def test_the_false_discovery_rate_by_hand() -> None:
    tests = [DriftTest("inputs", str(p), "KS", 0.1, p, (50, 50)) for p in (0.01, 0.04, 0.03)]
    judged = judged_together([*tests, number_drift("inputs", "few", NUMBERS[:3], NUMBERS)], 0.035)
    assert [test.adjusted for test in judged] == [pytest.approx(0.03), pytest.approx(0.04), pytest.approx(0.04), None]
    assert [test.is_drift for test in judged] == [True, False, False, False]
    assert judged[-1].note == "3 and 300 rows; 30 of each are needed"


def test_statistics_of_a_picture_by_hand() -> None:
    pixels = [[[255, 0, 0], [255, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    found = pixel_statistics(pixels)
    assert found is not None
    assert found == pytest.approx({"brightness": 1 / 6, "contrast": 1 / 6, "redness": 1.0, "sharpness": 1 / 6})
    assert tuple(found) == PIXELS
    assert pixel_statistics({"b64": "no image"}) is None
    assert pixel_statistics("text") is None
