"""What a person sees in a notebook while it runs: remarks and one bar, in a single output that is drawn anew."""

from __future__ import annotations

import contextlib
import html
import io
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console

from progressive_tf.display import SHOWN_AFTER_SECONDS, Display, FitDisplay

REDRAWN_AFTER_SECONDS = 0.2
WIDTH = 160  # of remarks, in characters; the browser breaks them where it must


class NotebookDisplay(Display):
    """Shows remarks and a bar through IPython's display, which needs no widgets.

    Args:
        update: is given the HTML of all there is to see, and its plain text, whenever that changes.
    """

    def __init__(self, update: Callable[[str, str], None]) -> None:
        # Not a terminal: whoever prints to the console itself, such as a sweep, does without a bar.
        super().__init__(Console(file=_Lines(self), width=WIDTH, force_jupyter=False, force_terminal=False))
        self._update = update
        self._text = ""
        self._bar: tuple[str, int, int | None] | None = None
        self._drawn = 0.0

    def said(self, text: str) -> None:
        """Adds to the remarks."""
        self._text += text
        self.draw()

    def show_bar(self, description: str, done: int, total: int | None) -> None:
        """Shows how far something is, at most a few times a second; `total` is None where nobody knows."""
        self._bar = description, done, total
        if time.monotonic() - self._drawn >= REDRAWN_AFTER_SECONDS:
            self.draw()

    def hide_bar(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar = None
            self.draw()

    def draw(self) -> None:
        """Shows all of it now."""
        self._drawn = time.monotonic()
        body = f'<pre style="white-space: pre-wrap; margin: 0">{html.escape(self._text)}</pre>'
        if self._bar is not None:
            description, done, total = self._bar
            extent = "" if total is None else f' value="{done}" max="{max(total, 1)}"'
            body += f"<div><progress{extent}></progress> <span>{html.escape(description)}</span></div>"
        self._update(body, self._text)

    @contextlib.contextmanager
    def task(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        """Shows countable work; yields a function that is told how many more are done."""
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            self.show_bar(f"{description}: {done:,} of {total:,}", done, total)

        advance(0)
        try:
            yield advance
        finally:
            self.hide_bar()

    @contextlib.contextmanager
    def counting(self, description: str) -> Iterator[Callable[[int], None]]:
        """Shows work of unknown length that takes longer than two seconds; yields what is told how much is done."""
        shown_from = time.monotonic() + SHOWN_AFTER_SECONDS

        def tell(done: int) -> None:
            if time.monotonic() >= shown_from:
                self.show_bar(f"{description}: {done:,} so far", 0, None)

        try:
            yield tell
        finally:
            self.hide_bar()

    @contextlib.contextmanager
    def fit(self, stage: str, epochs: int, batches: int, epochs_done: int) -> Iterator[FitDisplay]:
        """Shows the training of a stage."""
        try:
            yield _NotebookFit(self, stage, epochs, batches, epochs_done)
        finally:
            self.hide_bar()


class _NotebookFit(FitDisplay):
    def __init__(self, display: NotebookDisplay, stage: str, epochs: int, batches: int, epochs_done: int) -> None:
        super().__init__(display.console, None, stage, epochs, batches, epochs_done)
        self._display = display

    def batch(self, epoch: int, batch: int, logs: Mapping[str, float], rate: float, speed: float) -> None:
        """Shows a batch in the bar."""
        text = (
            f"{self._stage}  epoch {epoch + 1}/{self._epochs}  loss {logs.get('loss', 0):.3f}  "
            f"accuracy {logs.get('accuracy', 0):.3f}  rate {rate:.1e}  {speed:,.0f} examples/s"
        )
        self._display.show_bar(text, epoch * self._batches + batch + 1, self._epochs * self._batches)

    def epoch(self, epoch: int, logs: Mapping[str, float], rate: float, seconds: float) -> None:
        """Says nothing: the next batch does, and the history has it."""


class _Lines(io.StringIO):
    """A stream that adds what is written to a notebook's remarks."""

    def __init__(self, display: NotebookDisplay) -> None:
        super().__init__()
        self._display = display

    def write(self, text: str, /) -> int:
        """Adds the text."""
        self._display.said(text)
        return len(text)


@contextlib.contextmanager
def shown_here() -> Iterator[Display]:
    """Yields a display for where the process runs: a notebook's output, else standard error."""
    if not Console().is_jupyter:
        yield Display()
        return
    from IPython.display import display

    handle: Any = display({"text/html": "", "text/plain": ""}, raw=True, display_id=True)

    def update(body: str, text: str) -> None:
        handle.update({"text/html": body, "text/plain": text}, raw=True)

    yield NotebookDisplay(update)
