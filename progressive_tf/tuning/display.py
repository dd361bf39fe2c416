"""What a person sees of a sweep: one bar over all trials, which says how far the present one is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from progressive_tf.display import Display, FitDisplay


class SweepDisplay(Display):
    """Shows trials and leaves out what a single training would say.

    Args:
        outer: what shows the rest of the run.
        stage: the stage's name.
        trials: how many there are at most.
        done: how many an earlier process has finished.
    """

    def __init__(self, outer: Display, stage: str, trials: int, done: int) -> None:
        super().__init__(outer.console)
        self._outer = outer
        self._stage = stage
        self._trials = trials
        self._done = done
        self._advance: Callable[[int], None] = lambda more: None
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, console=self.console, transient=True)
            self._task = self._progress.add_task(f"sweep of {stage}", total=trials, completed=done)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shows the bar while the block runs."""
        if self._progress is not None:
            with self._progress:
                yield
            return
        with self._outer.task(f"sweep of {self._stage}, trials", self._trials) as self._advance:
            self._advance(self._done)
            yield

    def say(self, text: str) -> None:
        """Prints a line about a finished trial, and counts it."""
        super().line(text)
        self._advance(1)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=1, description=f"sweep of {self._stage}")

    def now(self, text: str) -> None:
        """Says what the present trial does."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=text)

    def remark(self, text: str) -> None:
        """Prints a line that is about no trial."""
        super().line(text)

    def line(self, text: str) -> None:
        """Leaves out a remark about one of many trainings."""

    @contextlib.contextmanager
    def task(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        """Names countable work."""
        self.now(f"sweep of {self._stage}: {description}")
        yield lambda done: None

    @contextlib.contextmanager
    def counting(self, description: str) -> Iterator[Callable[[int], None]]:
        """Names work of unknown length."""
        self.now(f"sweep of {self._stage}: {description}")
        yield lambda done: None

    @contextlib.contextmanager
    def fit(self, stage: str, epochs: int, batches: int, epochs_done: int) -> Iterator[FitDisplay]:
        """Shows the training of one trial."""
        yield _TrialDisplay(self, stage, epochs, batches)


class _TrialDisplay(FitDisplay):
    def __init__(self, sweep: SweepDisplay, stage: str, epochs: int, batches: int) -> None:
        super().__init__(sweep.console, None, stage, epochs, batches, 0)
        self._sweep = sweep

    def batch(self, epoch: int, batch: int, logs: Mapping[str, float], rate: float, speed: float) -> None:
        """Shows the epoch and its loss."""
        self._sweep.now(f"sweep of {self._stage}: epoch {epoch + 1}/{self._epochs}  loss {logs.get('loss', 0):.3f}")

    def epoch(self, epoch: int, logs: Mapping[str, float], rate: float, seconds: float) -> None:
        """Says nothing: the next batch does."""
