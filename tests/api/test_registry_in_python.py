from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny

from progressive_tf import Registry, Run
from progressive_tf.errors import InputError


def test_rows_are_answered_as_the_stage_was_measured(finished: Run, home: Path) -> None:
    run = Run.open(home / finished.path)
    predictions = run.stages[-1].predictions
    rows = predictions[predictions["part"] == "test"]
    version = Registry(home / "registry").model("tiny").stable()
    assert (version.number, version.stage, version.aliases) == (2, "two", ("stable",))
    table = pd.read_csv(home / "table.csv").iloc[rows["row"] - 1]
    answers = version.predict(table, batch_size=7)
    assert list(answers.columns) == ["label", "probability/negative", "probability/positive"]
    assert list(answers["label"]) == list(rows["predicted"])
    np.testing.assert_allclose(answers.iloc[:, 1:], np.stack(list(rows["probabilities"])), atol=1e-3)
    with pytest.raises(InputError, match="task: this version has no tasks"):
        version.predict(table, task="first")


def test_versions_are_found(finished: Run, home: Path) -> None:
    registry = Registry(home / "registry")
    assert [model.name for model in registry.models] == ["tiny"]
    model = registry.model("tiny")
    assert [version.number for version in model.versions] == [1, 2]
    assert list(model.frame()["stage"]) == ["one", "two"]
    assert model.previous().number == 1
    assert model.version(1).labels == tiny.LABELS
    assert "tiny" in registry._repr_html_()
    with pytest.raises(InputError, match=r"unknown model 'tony'; did you mean 'tiny'\?"):
        registry.model("tony")
    with pytest.raises(InputError, match="unknown version of tiny '7'"):
        model.version(7)
    with pytest.raises(InputError, match="no registry here"):
        assert Registry(home / "nowhere").models
