"""Versions that tag words, or write texts, or read tables, under drill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import tiny
from kinds import TAG_NAMES, of_kind
from made_up import reference, subject

from progressive_tf.drilling.choosing import choose
from progressive_tf.drilling.play import CANARY, GATE, NOBODY, Drill
from progressive_tf.drilling.replay import replayed
from progressive_tf.drilling.rows import Subject
from progressive_tf.drilling.saboteurs import CONTROL, SABOTEURS, UNKNOWN_WORD
from progressive_tf.errors import InputError
from progressive_tf.evaluation.answers.tags import TagAnswers
from progressive_tf.evaluation.answers.texts import TextAnswers
from progressive_tf.plan.loading import load_plan, validate
from progressive_tf.registry import Version
from progressive_tf.serving.answers.texts import TEXT, fingerprint
from progressive_tf.serving.served_rows import Answered, Feedback, ServedRequest
from progressive_tf.serving.store import Store

BY_NAME = {saboteur.name: saboteur for saboteur in SABOTEURS}
OF_CLASSES = {"swapped classes", "one dead class", "leaked labels", "overconfident"}
KINDS = ("tags", "texts")


@pytest.fixture(params=KINDS)
def of(request: pytest.FixtureRequest) -> Subject:
    found: Subject = of_kind(request.param)
    return found


class Echo:
    """Says what it said to the rows that it knows, by their input; to an input that is new, something wrong."""

    has_tasks, text_name = False, "text"

    def __init__(self, of: Subject) -> None:
        self.labels = of.gate.answers.labels
        self.seen = list[Mapping[str, Any]]()
        said = [(rows, of.kind.said(rows.answers)) for rows in (of.gate, of.callers)]
        self._known = {str(given): one for rows, each in said for given, one in zip(rows.inputs, each, strict=True)}

    def outputs(self, inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        self.seen += inputs
        said = [self._known.get(str(given)) for given in inputs]
        return [{"tags": one or [], TEXT: one or "nothing", "confidence": 0.5} for one in said]


@pytest.mark.parametrize("points", [2, 5, 10])
def test_so_many_points_are_lost_exactly_in_answers_that_such_a_version_may_give(of: Subject, points: int) -> None:
    given = BY_NAME[f"{points} points worse"].given(of.callers, False, seed=3)
    right, still = of.callers.right, given.answers.right
    assert (right & ~still).sum() == points / 100 * len(right)
    assert not (still & ~right).any()
    said, before = of.kind.said(given.answers), of.kind.said(of.callers.answers)
    changed = np.array([one != other for one, other in zip(said, before, strict=True)])
    np.testing.assert_array_equal(changed, right & ~still)
    for one, other in zip(said, before, strict=True):
        assert isinstance(one, str) or len(one) == len(other)
        for tag, tag_before in zip(one[1:], one, strict=False):
            assert not tag.startswith("I-") or tag_before[2:] == tag[2:], "no entity begins in its middle"


def test_a_text_of_one_word_and_a_sentence_without_entities_can_be_wrong_too() -> None:
    texts, tags = of_kind("texts"), of_kind("tags")
    one = TextAnswers(np.array(["seven"], object), np.array(["seven"], object), np.ones(1, np.float32))
    assert texts.kind.said(texts.kind.made_wrong(one, np.array([0]))) == ["seven seven"]
    none = TagAnswers(
        TAG_NAMES, *(np.array(codes, np.int32) for codes in ([3], [0] * 3, [0] * 3)), np.ones(3, np.float32)
    )
    assert tags.kind.said(tags.kind.made_wrong(none, np.array([0]))) == [["B-person", "O", "O"]]


def test_only_saboteurs_of_classes_are_left_out_with_a_line_each(of: Subject) -> None:
    echo = Echo(of)
    chosen, left_out = choose(of, 0, lambda: echo)
    assert {each.saboteur.name for each in chosen} == set(BY_NAME) - OF_CLASSES
    kind = of.gate.answers.kind.name
    assert set(left_out) == {
        f"{name}: left out, it harms classes, and the version answers {kind}" for name in OF_CLASSES
    }
    assert str(echo.seen[-1]).count(UNKNOWN_WORD) + str(echo.seen[-1]).upper().count("THING"), "of words too"


def test_the_version_comes_through_and_saboteurs_of_any_answer_are_caught(of: Subject) -> None:
    drill = Drill(of, reference(of), 0.2, 1, seed=0)
    by = {
        name: drill.play(BY_NAME[name]).outcomes[0] for name in ("slow tail", "errors on one kind", "10 points worse")
    }
    assert by["slow tail"].how == "latency"
    assert by["errors on one kind"].by == CANARY
    assert by["10 points worse"].by in (GATE, CANARY)
    (rare,) = drill.play(BY_NAME["NaN on rare inputs"]).outcomes
    assert (rare.by, rare.how) == (GATE, "reject, no numbers in the answers to 3 of 600 rows")
    (control,) = drill.play(CONTROL).outcomes
    assert control.by == NOBODY, control.reason
    assert control.labels > 0


def test_labels_of_disagreements_catch_what_a_gate_lets_through(of: Subject) -> None:
    given = BY_NAME["10 points worse"].given(of.callers, False, seed=0)
    outcome = Drill(of, reference(of), 0.2, 1, seed=0).before_callers(given, 0)
    assert (outcome.by, outcome.how) == (CANARY, "proof")


def kept(of: Subject, path: Path, rows: int) -> Path:
    """Keeps what the version said to its callers, of whom each calls his answer right or sends the right one."""
    said, truth = of.kind.said(of.callers.answers), of.kind.truth(of.callers.answers)
    is_text = isinstance(said[0], str)
    with closing(Store(path)) as store:
        for row in range(rows):
            one, right = ((fingerprint(each[row]) if is_text else each[row]) for each in (said, truth))
            given = {**(of.callers.inputs[row] or {}), **({TEXT: said[row]} if is_text else {})}
            answer = Answered(f"{row:032x}", one, [0.7] if is_text else None, given)
            store.add([ServedRequest(1e9 + row, 1, "stable", 0, 200, 0.01, [answer], caller=row // 2)])
            feedback = Feedback(answer.id, label=right, expected=truth[row] if is_text else None)
            store.add_feedback(Feedback(answer.id, correct=True) if one == right else feedback, 1e9 + row)
    return path


def test_what_a_server_has_kept_is_replayed(of: Subject, tmp_path: Path) -> None:
    plan: Any = None
    found = replayed(of, kept(of, tmp_path / "served.sqlite", 60), plan, lambda: Echo(of))
    first = of.callers.answers.take(np.arange(60))
    assert of.kind.said(found.callers.answers) == of.kind.said(first)
    assert of.kind.truth(found.callers.answers) == of.kind.truth(first)
    assert found.callers.callers is not None
    assert len(set(found.callers.callers)) == 30


def test_a_file_of_sentences_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    of = of_kind("tags")
    echo = Echo(of)
    rows = zip(of.callers.inputs, of.kind.truth(of.callers.answers), strict=True)
    sentences = [zip((given or {})["tokens"], tags, strict=True) for given, tags in rows]
    text = "\n\n".join("\n".join(f"{word}\t{tag}" for word, tag in sentence) for sentence in sentences)
    (tmp_path / "mine.conll").write_text(text + "\n", encoding="utf-8")
    plan = load_plan("offline-entities").plan
    found = replayed(of, tmp_path / "mine.conll", plan, lambda: echo)
    assert of.kind.said(found.callers.answers) == of.kind.said(of.callers.answers)
    assert found.callers.texts == of.callers.texts
    (tmp_path / "other.conll").write_text(text.replace("person", "team") + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"label 'B-team'; the version answers {TAG_NAMES[0]}"):
        replayed(of, tmp_path / "other.conll", plan, lambda: echo)


def test_a_file_of_texts_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    of = of_kind("texts")
    truth = of.kind.truth(of.callers.answers)
    pairs = zip(of.callers.texts or [], truth, strict=True)
    lines = [f"{text},{right},de,{row}" for row, (text, right) in enumerate(pairs)]
    (tmp_path / "mine.csv").write_text("\n".join(["text,target,kind,number", *lines]) + "\n", encoding="utf-8")
    found = replayed(of, tmp_path / "mine.csv", load_plan("numbers-en-de").plan, lambda: Echo(of))
    assert of.kind.said(found.callers.answers) == of.kind.said(of.callers.answers)
    assert of.kind.truth(found.callers.answers) == truth


class Florist(Version):
    """A version of a table; it reads numbers with a decimal comma."""

    preprocessing: ClassVar[dict[str, Any] | None] = {
        "columns": {"numbers": ["height"], "categories": ["colour"], "hashed": {}},
        "means": [170.0],
        "variances": [25.0],
        "vocabularies": [["blue", "red"]],
        "notations": {"height": {"decimal": ","}},
    }

    def manifest(self) -> dict[str, object]:
        found: dict[str, object] = {"task": "tabular-classification", "labels": list(tiny.LABELS)}
        return found | ({"preprocessing": self.preprocessing} if self.preprocessing else {})


class OfTables:
    """Answers every row with the first class."""

    has_tasks, text_name, labels = False, "height", tiny.LABELS

    def __init__(self) -> None:
        self.seen = list[Mapping[str, Any]]()

    def outputs(self, inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        self.seen += inputs
        return [{"probabilities": [0.8, 0.2]} for _ in inputs]


def test_a_file_of_columns_is_replayed_by_the_columns_that_the_version_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan, asks = validate(tiny.of_table(tiny.raw_plan()), "plan"), OfTables()
    fields = subject().version
    of = replace(subject(), version=Florist(*(getattr(fields, name) for name in fields.__dataclass_fields__)))
    found = replayed(of, tiny.write_table(tmp_path / "mine.csv", 50), plan, lambda: asks)
    first = (tmp_path / "mine.csv").read_text().splitlines()[1].split(",")
    assert asks.seen[0] == {"height": first[0], "colour": first[1]}, "a cell of text is what a caller would write"
    assert len(found.callers) == 50
    assert found.callers.texts is None
    frame = pd.read_csv(tmp_path / "mine.csv").rename(columns={"height": "size"})
    frame.rename(columns={"size": "height"}).to_parquet(tmp_path / "mine.parquet")
    replayed(of, tmp_path / "mine.parquet", plan, lambda: asks)
    assert asks.seen[-50]["height"] == first[0].rstrip("0").replace(".", ","), "a number is written as it reads them"
    frame.to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(InputError, match=r"other\.csv has no column 'height'; the version reads height, colour"):
        replayed(of, tmp_path / "other.csv", plan, lambda: asks)
    monkeypatch.setattr(Florist, "preprocessing", None)
    with pytest.raises(InputError, match="reads vectors, which have no columns; give a server's store"):
        replayed(of, tmp_path / "mine.csv", plan, lambda: asks)
