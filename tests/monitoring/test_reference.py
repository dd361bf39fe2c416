"""What a stage answered to its gate rows is a sample as live rows are, though these are drawn otherwise."""

from __future__ import annotations

import numpy as np
import pandas as pd

from progressive_tf.monitoring.drift import category_drift
from progressive_tf.monitoring.reference import as_often_as, one_of_each_group


def test_one_row_of_each_group_is_kept_and_every_row_without_one() -> None:
    rows = pd.DataFrame({"label": list("aaabbb"), "group": [1.0, 1.0, 2.0, 2.0, np.nan, np.nan]})
    kept = one_of_each_group(rows)
    assert kept["group"].dropna().tolist() == [1.0, 2.0]
    assert kept["group"].isna().sum() == 2
    assert one_of_each_group(rows[["label"]]).equals(rows[["label"]])


def test_rows_of_one_author_are_no_drift() -> None:
    """Ten rows of each of 80 authors, who differ in what they write about."""
    found = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        of_author = generator.beta(1, 1, 80)
        authors = np.repeat(np.arange(80), 10)
        labels = np.where(generator.random(800) < of_author[authors], "yes", "no")
        gate = one_of_each_group(pd.DataFrame({"label": labels, "group": authors}))
        live = np.where(generator.random(800) < generator.beta(1, 1, 800), "yes", "no")
        test = category_drift("predictions", "labels", gate["label"].tolist(), live.tolist())
        assert test.p_value is not None
        found += test.p_value < 0.05
    assert found <= 6  # of 40, of which two are expected


def test_classes_that_were_given_more_gate_rows_than_their_share_are_no_drift() -> None:
    """200 classes by Zipf's law, of which a gate of 800 rows has five each at least."""
    shares = 1 / np.arange(1, 201)
    shares /= shares.sum()
    found = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        gate, test, live = (
            pd.DataFrame({"label": [f"class {one:03}" for one in generator.choice(200, count, p=shares)]})
            for count in (800, 800, 1_500)
        )
        few = [f"class {one:03}" for one in range(200)] * 5
        lifted = pd.concat([gate, pd.DataFrame({"label": few})])
        rank = lifted.groupby("label").cumcount()
        size = np.maximum(5, gate["label"].value_counts().reindex(lifted["label"]).fillna(0).to_numpy())
        lifted = lifted[rank.to_numpy() < size].reset_index(drop=True)
        assert lifted["label"].value_counts().min() == 5
        kept = as_often_as(lifted, test, "label")
        drift = category_drift("predictions", "labels", kept["label"].tolist(), live["label"].tolist())
        assert drift.p_value is not None
        found += drift.p_value < 0.01
    assert found <= 2


def test_without_test_rows_gate_rows_are_taken_as_they_are() -> None:
    gate = pd.DataFrame({"label": list("aab")})
    assert as_often_as(gate, gate[:0], "label").equals(gate)
