"""Progress in a notebook: one output that is drawn anew."""

from __future__ import annotations

from typing import Any

import pytest

from progressive_tf.training import notebook_display
from progressive_tf.training.notebook_display import NotebookDisplay, shown_here
from progressive_tf.tuning.display import SweepDisplay


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    monkeypatch.setattr(notebook_display, "REDRAWN_AFTER_SECONDS", -1.0)
    return []


@pytest.fixture
def display(seen: list[tuple[str, str]]) -> NotebookDisplay:
    return NotebookDisplay(lambda body, text: seen.append((body, text)))


def test_remarks_add_up_and_are_text(display: NotebookDisplay, seen: list[tuple[str, str]]) -> None:
    display.line("run <b>[1]</b>")
    display.line("x" * 300)
    body, text = seen[-1]
    assert text == f"run <b>[1]</b>\n{'x' * 300}\n", "as it was said, and not broken"
    assert "run &lt;b&gt;[1]&lt;/b&gt;" in body
    assert "<progress" not in body


def test_training_moves_the_bar_and_leaves_none(display: NotebookDisplay, seen: list[tuple[str, str]]) -> None:
    with display.fit("pilot", epochs=2, batches=5, epochs_done=0) as fit:
        fit.batch(1, 2, {"loss": 0.5, "accuracy": 0.75}, 1e-3, 100.0)
        body, text = seen[-1]
        assert 'value="8" max="10"' in body
        assert "pilot  epoch 2/2  loss 0.500" in body
        assert text == "", "the bar is no remark"
        fit.epoch(1, {"loss": 0.5}, 1e-3, 1.0)
    assert "<progress" not in seen[-1][0]


def test_countable_work_moves_the_bar(display: NotebookDisplay, seen: list[tuple[str, str]]) -> None:
    with display.task("encoding", 30) as advance:
        advance(10)
        advance(10)
        assert "encoding: 20 of 30" in seen[-1][0]
    assert "<progress" not in seen[-1][0]


@pytest.mark.parametrize(("after", "shown"), [(-1.0, True), (60.0, False)])
def test_work_of_unknown_length_is_shown_once_it_is_long(
    after: float,
    shown: bool,
    display: NotebookDisplay,
    seen: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notebook_display, "SHOWN_AFTER_SECONDS", after)
    with display.counting("reading") as tell:
        tell(256)
        assert any("reading: 256 so far" in body for body, _ in seen) is shown


def test_bars_are_drawn_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook_display, "REDRAWN_AFTER_SECONDS", 1e9)
    seen: list[Any] = []
    display = NotebookDisplay(lambda body, text: seen.append(body))
    display.draw()
    with display.task("encoding", 1000) as advance:
        for _ in range(1000):
            advance(1)
    assert len(seen) == 2, "the first and the last"


def test_what_a_sweep_prints_to_the_console_is_seen(display: NotebookDisplay, seen: list[tuple[str, str]]) -> None:
    sweep = SweepDisplay(display, "beta", trials=3, done=0)
    with sweep.shown():
        sweep.say("trial 1: 0.75")
    assert seen[-1][1] == "trial 1: 0.75\n"


def test_outside_of_a_notebook_nothing_changes() -> None:
    with shown_here() as display:
        assert not isinstance(display, NotebookDisplay)
        assert display.console.stderr
