"""What a person sees while it runs: live bars on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import contextlib
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from progressive_tf import output

SHOWN_AFTER_SECONDS = 2.0


class FitDisplay:
    """Shows the training of one stage.

    Args:
        console: where to.
        progress: a running bar, or None for one line per epoch.
        stage: the stage's name.
        epochs: epochs of the stage.
        batches: batches of one epoch.
        epochs_done: epochs that an earlier process finished.
    """

    def __init__(
        self, console: Console, progress: Progress | None, stage: str, epochs: int, batches: int, epochs_done: int
    ) -> None:
        self._console = console
        self._progress = progress
        self._stage = stage
        self._epochs = epochs
        self._batches = batches
        self._task: TaskID | None = None
        if progress is not None:
            self._task = progress.add_task(stage, total=epochs * batches, completed=epochs_done * batches)

    def batch(self, epoch: int, batch: int, logs: Mapping[str, float], rate: float, speed: float) -> None:
        """Shows a batch: epoch and batch 0-based, rate of the step, examples per second."""
        if self._progress is None or self._task is None:
            return
        text = (
            f"{self._stage}  epoch {epoch + 1}/{self._epochs}  loss {logs.get('loss', 0):.3f}  "
            f"accuracy {logs.get('accuracy', 0):.3f}  rate {rate:.1e}  {speed:,.0f} examples/s"
        )
        self._progress.update(self._task, completed=epoch * self._batches + batch + 1, description=text)

    def epoch(self, epoch: int, logs: Mapping[str, float], rate: float, seconds: float) -> None:
        """Shows a finished epoch."""
        if self._progress is None:
            measures = "  ".join(f"{name} {value:.4f}" for name, value in logs.items() if name != "lr")
            self._console.print(
                f"{self._stage}: epoch {epoch + 1}/{self._epochs}  {measures}  rate {rate:.2e}  {seconds:.1f} s",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


class Display:
    """Progress and remarks of a run."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or output.console(stderr=True)
        self._said: set[str] = set()

    def line(self, text: str) -> None:
        """Prints one remark; a terminal that is narrower than it breaks it between words, and no path or name."""
        text = output.printable(text, one_line=True)
        if self.console.is_terminal:
            text = textwrap.fill(
                text,
                self.console.width,
                subsequent_indent="  ",
                break_long_words=False,
                break_on_hyphens=False,
                replace_whitespace=False,
            )
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def lines_once(self, texts: Iterable[str]) -> None:
        """Prints several remarks, each once, however often what they are about is read."""
        for text in texts:
            if text not in self._said:
                self._said.add(text)
                self.line(text)

    @contextlib.contextmanager
    def task(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        """Shows countable work; yields a function that is told how many more are done."""
        if not self.console.is_terminal:
            self.line(f"{description}: {total:,}")
            yield lambda done: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(description, total=total)
            yield lambda done: progress.advance(task, done)

    @contextlib.contextmanager
    def counting(self, description: str) -> Iterator[Callable[[int], None]]:
        """Shows work of unknown length that takes longer than two seconds; yields what is told how much is done."""
        shown_from = time.monotonic() + SHOWN_AFTER_SECONDS
        columns = (SpinnerColumn("line"), TextColumn("{task.description} {task.completed:,.0f}"), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as progress:
            task = progress.add_task(description, total=None, visible=False)
            announced = self.console.is_terminal

            def tell(done: int) -> None:
                nonlocal announced
                if time.monotonic() < shown_from:
                    return
                progress.update(task, completed=done, visible=True)
                if not announced:
                    self.line(f"{description}: {done:,} so far")
                announced = True

            yield tell

    @contextlib.contextmanager
    def fit(self, stage: str, epochs: int, batches: int, epochs_done: int) -> Iterator[FitDisplay]:
        """Shows the training of a stage."""
        if not self.console.is_terminal:
            yield FitDisplay(self.console, None, stage, epochs, batches, epochs_done)
            return
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield FitDisplay(self.console, progress, stage, epochs, batches, epochs_done)


class Clock:
    """Seconds spent on each kind of work; what is measured inside something else counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter()
        self._inside = 0.0

    @contextmanager
    def measure(self, kind: str) -> Iterator[None]:
        """Adds the time of the block to `kind`."""
        outside, self._inside = self._inside, 0.0
        started = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            self.seconds[kind] = self.seconds.get(kind, 0.0) + elapsed - self._inside
            self._inside = outside + elapsed

    def to_json(self) -> dict[str, float]:
        """Returns the seconds by kind, and in total since the clock was made."""
        total = {"total": time.perf_counter() - self._started}
        return {kind: round(value, 3) for kind, value in (self.seconds | total).items()}
