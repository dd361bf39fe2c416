"""Rows that a server has kept, or that stand in a file, in place of test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from made_up import subject
from serving_store import keep

from progressive_tf.drilling.replay import replayed
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import validate
from progressive_tf.serving.store import store_path

PLAN = validate(tiny.raw_plan(), "plan")


class Sure:
    """Answers every text with the first class."""

    has_tasks, text_name, labels = False, "text", tiny.LABELS

    def outputs(self, inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [{"probabilities": [0.8, 0.2]} for _ in inputs]


def store(folder: Path, rows: int, told: int, version: int = 1) -> Path:
    texts, labels = tiny.sentences(rows)
    asked = [(text, tiny.LABELS[label], 0.7 if label else 0.3) for text, label in zip(texts, labels, strict=True)]
    right = [tiny.LABELS[0] if place < told else None for place in range(rows)]
    keep(folder, "made-up", asked, began=1e9, told=right, version=version)
    return store_path(folder, "made-up")


def test_answers_that_users_have_judged_come_again_from_their_callers(tmp_path: Path) -> None:
    of = replayed(subject(), store(tmp_path, 60, 40), PLAN, Sure)
    assert len(of.callers) == 40
    assert (of.callers.answers.truth == 0).all()
    assert (of.callers.texts or [])[0] == tiny.sentences(60)[0][0]
    assert of.callers.callers is not None
    assert set(np.ravel(of.kind.stated(of.callers.answers)).round(1)) == {0.3, 0.7}
    assert of.described == "40 rows of served.sqlite"


def test_too_few_judged_answers_of_the_version_are_refused(tmp_path: Path) -> None:
    for name, told, version in (("few", 12, 1), ("other", 60, 2)):
        with pytest.raises(InputError, match=r"rows of this version have an answer .* a drill needs 30"):
            replayed(subject(), store(tmp_path / name, 60, told, version), PLAN, Sure)


def test_a_file_of_rows_is_read_as_the_plan_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    of = replayed(subject(), tiny.write_csv(tmp_path / "mine.csv", 50), PLAN, Sure)
    assert len(of.callers) == 50
    np.testing.assert_array_equal(of.callers.answers.truth, tiny.sentences(50)[1])
    assert of.callers.text_name == "text"


def test_files_that_cannot_be_replayed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    few, other = tiny.write_csv(tmp_path / "few.csv", 10), tmp_path / "other.csv"
    other.write_text("text,label\n" + "".join(f"thing{row},odd{row % 2}\n" for row in range(40)), encoding="utf-8")
    for path, message in (
        (tmp_path / "gone.csv", "there is no such file"),
        (few, "10 rows have an input and a label; a drill needs 30"),
        (other, "label 'odd0'; the version answers negative"),
    ):
        with pytest.raises(InputError, match=message):
            replayed(subject(), path, PLAN, Sure)
    images = PLAN.model_copy(update={"task": "image-classification"})
    with pytest.raises(InputError, match="where they are texts, words, columns, and the version reads images"):
        replayed(subject(), few, images, Sure)
