"""What served texts are compared with, and a next stage of texts that users expected."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny

from progressive_tf.errors import InputError
from progressive_tf.monitoring.live_rows import read_live_rows
from progressive_tf.monitoring.next_stage import Target
from progressive_tf.monitoring.proposal import propose
from progressive_tf.monitoring.reference import rows_of_stage
from progressive_tf.plan.loading import load_plan
from progressive_tf.plan.reading import read_yaml_mapping, to_yaml
from progressive_tf.plan.tasks import TASKS
from progressive_tf.serving.answers.texts import fingerprint
from progressive_tf.serving.served_rows import Answered, Feedback, ServedRequest
from progressive_tf.serving.store import Store

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# The column of texts is called as the one with answers would be.
PLAN: dict[str, Any] = {
    "name": "digits",
    "task": "translation",
    "model": {"builder": "t5", "weights": None, "max_target_length": 32, "config": tiny.T5_CONFIG},
    "data": {
        "source": "pairs.csv",
        "text": "said",
        "target": "spelt",
        "split": {"validation": 20, "gate": 60, "test": 40},
    },
    "defaults": {
        "epochs": 1,
        "adaptation": {"method": "full"},
        "gate": [{"metric": "exact_match", "at_least": 0.1}],
    },
    "stages": [{"name": "one", "data": {"all": True}, "retention": {"replay": {"fraction": 0.5}}}],
}


def spelt(number: int) -> str:
    return " ".join(DIGITS[int(digit)] for digit in str(number))


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    numbers = range(100, 340)
    pd.DataFrame({"said": numbers, "spelt": map(spelt, numbers)}).to_csv(tmp_path / "pairs.csv", index=False)
    (tmp_path / "plan.yaml").write_text(to_yaml(PLAN), encoding="utf-8")
    return tmp_path / "plan.yaml"


def keep(folder: Path, answers: list[tuple[Any, str | None, str | None]]) -> Path:
    """Keeps inputs, what was written, and what was expected, None where the answer was right."""
    store = Store(folder / "served.sqlite")
    for place, (given, written, expected) in enumerate(answers):
        kept = {"text": given} if isinstance(given, str) else {"inputs": given}
        said = {} if written is None else {"translation": written}
        answer = Answered(f"{place:032x}", fingerprint(written or [1]), [0.5 + place / 1000], kept | said)
        store.add([ServedRequest(time.time(), 1, "stable", 0, 200, 0.01, [answer], caller=place)])
        told = Feedback(answer.id, correct=True)
        if expected is not None:
            told = Feedback(answer.id, label=fingerprint(expected), expected=expected)
        store.add_feedback(told, time.time())
    store.close()
    return store.path


def test_a_next_stage_of_expected_texts(plan: Path, tmp_path: Path) -> None:
    answers: list[tuple[Any, str | None, str | None]] = [
        (str(number), spelt(number) if number % 3 else "wrong", None if number % 3 else spelt(number))
        for number in range(1000, 1090)
    ]
    answers += [(str(number), "wrong", spelt(number)) for number in (110, 120)]
    answers += [([5, 6, 1], None, None), ("2000", None, None)]
    live = read_live_rows(keep(tmp_path, answers))
    target = tmp_path / "next.yaml"
    found = propose(Target("--propose", "feedback", plan, load_plan(str(plan)), target), live, tmp_path / "cache")
    assert found.rows == 90
    known = sum(count for why, count in found.put_aside.items() if why.startswith("stand in an "))
    assert known == 2
    assert found.put_aside["have an input that is no text"] == 1
    assert found.put_aside["have texts that --redact does not keep"] == 1
    rows = [json.loads(line) for line in found.data_file.read_text(encoding="utf-8").splitlines()]
    assert all(row["spelt"] == spelt(int(row["said"])) for row in rows)
    assert [row["served_said"] == "wrong" for row in rows] == [True] * 30 + [False] * 60
    assert 40 <= sum(row["chosen"] for row in rows) < 90
    stage = read_yaml_mapping(target)["stages"][-1]
    assert stage["adaptation"] == {"method": "top-blocks", "blocks": 1}
    # The last stage's replay is its own, and not the new one's.
    assert stage["retention"]["replay"]["budget"] == 200
    assert load_plan(str(target)).plan.stages[-1].name == "feedback-1"


def test_too_few_expected_texts_are_refused(plan: Path, tmp_path: Path) -> None:
    live = read_live_rows(keep(tmp_path, [(str(number), "wrong", spelt(number)) for number in range(1000, 1010)]))
    with pytest.raises(InputError, match="10 new rows with a right label and their input, at least 40 are needed"):
        propose(
            Target("--propose", "feedback", plan, load_plan(str(plan)), tmp_path / "next.yaml"),
            live,
            tmp_path / "cache",
        )
    assert not (tmp_path / "next.yaml").exists()


def test_a_stage_that_wrote_texts_is_what_live_texts_are_compared_with(tmp_path: Path) -> None:
    folder = tmp_path / "01-one"
    folder.mkdir()
    columns = {
        "part": ["gate", "gate", "test", "gate", "gate"],
        "slice": ["digits", "digits", "digits", "digits-again", "later"],
        "source": "pairs",
        "index": [0, 1, 2, 1, 3],
        "text": ["1", "2", "3", "2", "4"],
        "target": ["one", "two", "three", "two", "four"],
        "predicted": ["one", "too", "three", "too", "four"],
        "confidence": np.array([0.9, 0.6, 0.8, 0.6, 0.7], np.float32),
    }
    pd.DataFrame(columns).to_parquet(folder / "predictions.parquet")
    version: Any = SimpleNamespace(task=TASKS["translation"], stage="one", number=1)
    found = rows_of_stage(folder, version, "text", ["digits", "digits-again"])
    assert found is not None
    assert (found.name, found.inputs, found.answers) == (
        "2 gate rows of stage one, version 1",
        [{"text": "1"}, {"text": "2"}],
        ["one", "too"],
    )
    assert list(found.judged[1]) == [True, False]
    assert found.confidence == pytest.approx([0.9, 0.6])
