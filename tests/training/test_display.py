"""What is shown of work whose length nobody knows."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from progressive_tf import display
from progressive_tf.display import Display


@pytest.mark.parametrize(("after", "said"), [(-1.0, "reading photos: 256 so far\n"), (60.0, "")])
def test_long_reading_is_said_once_where_there_is_no_terminal(
    after: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "SHOWN_AFTER_SECONDS", after)
    stream = io.StringIO()
    with Display(Console(file=stream)).counting("reading photos") as tell:
        tell(256)
        tell(512)
    assert stream.getvalue() == said


@pytest.mark.parametrize(
    ("is_terminal", "expected"),
    [
        (True, "pilot: train 30\n  negative, kept in\n  runs/plan/20260101-000000\n"),
        (False, "pilot: train 30 negative, kept in runs/plan/20260101-000000\n"),
    ],
)
def test_a_narrow_terminal_breaks_a_remark_between_words_and_no_path(is_terminal: bool, expected: str) -> None:
    stream = io.StringIO()
    screen = Display(Console(file=stream, force_terminal=is_terminal, width=20, color_system=None))
    screen.line("pilot: train 30 negative, kept in runs/plan/20260101-000000")
    assert stream.getvalue() == expected


def test_what_is_said_of_data_is_said_once_however_often_they_are_read() -> None:
    stream = io.StringIO()
    shown = Display(Console(file=stream))
    shown.lines_once(["columns: [bold]", "labels"])
    shown.lines_once(["labels", "rows"])
    assert stream.getvalue() == "columns: [bold]\nlabels\nrows\n"
