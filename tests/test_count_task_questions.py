"""scripts/count_task_questions.py: what counts as a question about the task, and the limit."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from script_module import load_script

SCRIPT = Path(__file__).parents[1] / "scripts" / "count_task_questions.py"
ASKS = """
def answers(plan, network, data, source, manifest, signatures, sequence):
    if isinstance(network.preprocess, TextPreprocessing | ImagePreprocessing):
        return plan.task == "translation"
    if plan.task in (Bert.task, T5.task) or reads != "images":
        return network.tags_words
    if manifest["labels"] == [] or manifest.get("labels") == []:
        return data.classes.writes
    if source.tagged is not None and source.expected is None:
        return [each for each in sequence if isinstance(each, TextAnswers)]
    if plan.kind.inputs not in OF_WORDS:
        return None
    return described.endswith(", image") or (GENERATE in signatures and not data.classes.tags)
"""
ASKS_NOT = """
def answers(plan, network, data, feedback, signatures, given):
    if isinstance(given, list) and plan.kind.has_metric(plan.gate) and name in signatures:
        return plan.kind.matrix_metric
    if feedback.expected is not None or given == [] or own == task or given == "classes" or kind in PER_CLASS:
        return {"texts": read, "images": show}[plan.kind.inputs]
    return load(data.labels, data.classes.tags) if given.endswith(", Paris") else plan.task
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(SCRIPT)


def test_questions_are_found_with_their_lines(script: ModuleType) -> None:
    assert [line for line, _ in script.questions(ASKS)] == [3, 4, 5, 5, 6, 7, 7, 8, 9, 9, 10, 11, 13, 13, 13]


def test_what_asks_the_task_itself_is_no_such_question(script: ModuleType) -> None:
    assert list(script.questions(ASKS_NOT)) == []


@pytest.mark.parametrize(("limit", "code"), [(15, 0), (16, 0), (14, 1)])
def test_more_than_the_limit_fail(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: int, code: int
) -> None:
    for name in ("training/fit.py", "training/answers/tags.py", "plan/tasks.py", "data/kinds.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(ASKS)
    assert script.main(tmp_path, limit, quiet=True) == code
    out = capsys.readouterr().out
    assert f"15 questions about the task or the kind of input; at most {limit}" in out
    assert ("training/fit.py:3: isinstance(" in out) == (code == 1)
    assert ("lower LIMIT" in out) == (limit == 16)
