from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from progressive_tf.data.noise_finding import NoiseSearch
from progressive_tf.data.quality import QualityReport, examine
from progressive_tf.data.source import Source
from progressive_tf.data.splits import fixed_parts
from progressive_tf.errors import InputError
from progressive_tf.plan.methods import Quality
from progressive_tf.plan.schema import Split

from .making import made_source

NO_KEYS = np.empty(0, np.uint64)
OFF = dict.fromkeys(Quality.model_fields)
FILLER = [f"filler {row}" for row in range(20)]


def with_filler(*rows: tuple[str, str]) -> Source:
    """Returns these (text, label) rows before twenty good ones, ten of each of the classes a and b."""
    return made_source([label for _, label in rows] + ["a", "b"] * 10, [text for text, _ in rows] + FILLER)


def report(source: Source, keys: np.ndarray = NO_KEYS, embeddings: Any = None, **actions: str | None) -> QualityReport:
    quality = Quality(**OFF | actions)  # type: ignore[arg-type]
    rows = np.arange(len(source))
    return examine(source, rows, quality, keys, NoiseSearch(embeddings))


BAD = {
    "empty_text": (with_filler((" ", "a"), ("\n", "b")), [1, 2]),
    "duplicates": (with_filler(("same", "a"), ("SAME!", "a"), ("same", "a"), ("same", "b")), [2, 3]),
    "conflicting_labels": (with_filler(("same", "a"), ("other", "a"), ("Same.", "b")), [1, 3]),
}


@pytest.mark.parametrize("kind", BAD)
class TestRowFindings:
    def test_warn_keeps_every_row(self, kind: str) -> None:
        source, numbers = BAD[kind]
        found = report(source, **{kind: "warn"})
        (finding,) = found.findings
        assert (finding.kind, finding.action, finding.count) == (kind, "warn", len(numbers))
        assert list(finding.rows) == numbers
        assert len(finding.examples) == len(numbers)
        assert len(found.kept) == len(source)

    def test_drop_takes_exactly_these_rows_out(self, kind: str) -> None:
        source, numbers = BAD[kind]
        found = report(source, **{kind: "drop"})
        assert set(source.rows.tolist()) - set(source.rows[found.kept].tolist()) == set(numbers)
        assert found.findings[0].message.endswith("; dropped")

    def test_fail_names_the_place_and_the_rows(self, kind: str) -> None:
        source, numbers = BAD[kind]
        with pytest.raises(InputError) as caught:
            report(source, **{kind: "fail"})
        assert str(caught.value).startswith(f"data.quality.{kind}: made has {len(numbers)} rows")
        assert f"(rows {numbers[0]}, {numbers[1]}" in str(caught.value)
        assert f"set data.quality.{kind} to drop or warn" in str(caught.value)

    def test_none_looks_for_nothing(self, kind: str) -> None:
        source, _ = BAD[kind]
        assert report(source).findings == ()


def test_good_rows_have_no_findings() -> None:
    source = with_filler()
    found = report(source, **Quality(label_noise=None).model_dump())
    assert found.findings == ()
    assert np.array_equal(found.kept, np.arange(20))


def test_leak_check_finds_what_was_planted_and_nothing_else() -> None:
    source = made_source(["a", "b"] * 60, [f"text {row}" for row in range(118)] + ["Text 3!!", "TEXT, 4"])
    parts = fixed_parts(source, Split(validation=10, gate=30, test=30))
    evaluation = source.keys[np.concatenate([parts.validation, parts.gate, parts.test])]
    quality = Quality(leakage="fail")
    examine(source, parts.pool, quality, evaluation)

    planted = np.append(parts.pool, parts.test[:2])
    with pytest.raises(InputError, match=r"data\.quality\.leakage: made has 2 rows whose text also stands in an eval"):
        examine(source, planted, quality, evaluation)
    dropped = examine(source, planted, Quality(leakage="drop"), evaluation)
    assert np.array_equal(dropped.kept, parts.pool)


def test_duplicates_of_a_dropped_conflict_are_no_further_finding() -> None:
    source = with_filler(("same", "a"), ("same", "b"), ("same", "a"))
    found = report(source, conflicting_labels="drop", duplicates="drop")
    assert [(finding.kind, finding.count) for finding in found.findings] == [("conflicting_labels", 3)]


def test_at_most_ten_rows_are_shown() -> None:
    found = report(with_filler(*[("same", "a")] * 31), duplicates="drop")
    assert found.findings[0].count == 30
    assert len(found.findings[0].rows) == len(found.findings[0].examples) == 10


def test_class_imbalance_and_small_classes() -> None:
    source = made_source(["a"] * 80 + ["b"] * 7 + ["c"] * 8)
    found = report(source, class_imbalance="warn", too_few_per_class="warn")
    assert [(finding.kind, finding.count, finding.examples) for finding in found.findings] == [
        ("class_imbalance", 1, ("b: 7",)),
        ("too_few_per_class", 1, ("b: 7",)),
    ]
    with pytest.raises(
        InputError, match=r"data\.quality\.too_few_per_class: made: 1 class has fewer than 8 rows \(b: 7"
    ):
        report(source, too_few_per_class="fail")


def test_class_ten_times_as_large_is_no_imbalance() -> None:
    assert report(made_source(["a"] * 80 + ["b"] * 8), class_imbalance="warn").findings == ()


def separable(source: Source, wrong: list[int]) -> Any:
    """Returns embeddings in which the class is plain to see and the rows `wrong` stand with the other class."""
    codes = source.label_codes.copy()
    codes[wrong] = 1 - codes[wrong]
    noise = np.random.default_rng(0).normal(scale=0.1, size=(len(source), 4))
    return lambda rows: (np.eye(4)[codes[rows]] + noise[rows]).astype(np.float32)


def test_label_noise_finds_planted_rows() -> None:
    source = made_source(["a", "b"] * 60)
    planted = {3, 40, 77}
    found = report(source, embeddings=separable(source, sorted(planted)), label_noise="drop")
    (finding,) = found.findings
    dropped = set(range(120)) - set(found.kept.tolist())
    assert len(dropped) >= 2  # the check looks for likely errors and may let one pass
    assert dropped <= planted
    assert {row - 1 for row in finding.rows} == dropped


def test_label_noise_finds_nothing_in_clean_rows() -> None:
    source = made_source(["a", "b"] * 60)
    assert report(source, embeddings=separable(source, []), label_noise="fail").findings == ()


def test_label_noise_is_skipped_with_a_word_when_a_class_is_too_small() -> None:
    source = made_source(["a"] * 20 + ["b"] * 2)
    found = report(source, embeddings=separable(source, []), label_noise="fail")
    (finding,) = found.findings
    assert (finding.kind, finding.action, finding.count) == ("label_noise", "warn", 0)
    assert "smallest class has 2 rows" in finding.message


def test_all_duplicates_leave_nothing_to_learn() -> None:
    with pytest.raises(InputError, match=r"made: one row is left of 30 to train on \(29 rows that repeat"):
        report(made_source(["a"] * 30, ["same"] * 30), duplicates="drop")


def test_all_conflicts_leave_nothing_to_learn() -> None:
    with pytest.raises(InputError, match=r"made: no row is left of 30 to train on \(30 rows whose text also has"):
        report(made_source(["a", "b"] * 15, ["same"] * 30), conflicting_labels="drop")


def test_one_class_left_is_refused() -> None:
    source = made_source(["a"] * 10 + ["b"], [*FILLER[:10], " "])
    with pytest.raises(InputError, match=r"all 10 rows to train on are labelled 'a' \(1 row with an empty text"):
        report(source, empty_text="drop")


def test_report_is_plain_json() -> None:
    found = report(BAD["duplicates"][0], duplicates="drop", too_few_per_class="warn").to_json()
    assert json.loads(json.dumps(found))["findings"][0].keys() == {
        "kind",
        "action",
        "count",
        "rows",
        "examples",
        "message",
    }


def test_all_suspects_are_listed_with_the_label_that_fits_better() -> None:
    source = made_source(["a", "b"] * 60)
    found = report(source, embeddings=separable(source, [3, 40, 77]), label_noise="warn")
    (finding,) = found.findings
    assert finding.message.endswith("whose label looks wrong; all of them are in findings.csv")
    assert [suspect.row for suspect in found.suspects] == list(finding.rows)
    for suspect in found.suspects:
        assert {suspect.label, suspect.likely} == {"a", "b"}
        assert suspect.text == f"text {suspect.row - 1} of this source"
        assert 0.5 < suspect.probability <= 1


def test_a_class_that_is_too_small_does_not_switch_label_noise_off() -> None:
    source = made_source(["a", "b"] * 60 + ["c"] * 2)
    (finding,) = report(source, embeddings=separable(source, [3, 40, 77]), label_noise="warn").findings
    assert set(finding.rows) <= {4, 41, 78}
    assert finding.count >= 2
    assert "without 1 class with fewer than 3 rows" in finding.message
    (clean,) = report(source, embeddings=separable(source, []), label_noise="fail").findings
    assert clean.message == "no label looks wrong, without 1 class with fewer than 3 rows"


@pytest.mark.parametrize(
    ("labels", "embeddings", "because"),
    [
        (["a", "b"] * 9, None, "there are no outputs of a network to look at"),
        (["a", "b"] * 9, "the network is random", "the network is random"),
        ([f"class {place % 201}" for place in range(804)], "some", "there are 201 classes; up to 200 are examined"),
    ],
)
def test_label_noise_that_is_not_looked_for_says_why(labels: list[str], embeddings: Any, because: str) -> None:
    looked = (lambda rows: np.zeros((len(rows), 2), np.float32)) if embeddings == "some" else embeddings
    (finding,) = report(made_source(labels), embeddings=looked, label_noise="fail").findings
    assert finding.message == f"label noise was not looked for: {because}"
