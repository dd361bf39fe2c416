"""Rows of a table → the cells that say what a version answers to them, and whether another one answers otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from progressive_tf.errors import InputError, listed
from progressive_tf.scoring.answered import AnswerCells, answer_cells
from progressive_tf.scoring.output import PROBABILITY
from progressive_tf.scoring.predictor import Predictor
from progressive_tf.scoring.reading import Reading
from progressive_tf.scoring.table import Row
from progressive_tf.scoring.unread import Unread

AGAINST, DIFFERS = "against", "differs"
MOST_LARGE = 64


class Answerer:
    """Answers rows by a version; one that cannot be answered spoils no other.

    Args:
        predictor: the version.
        against: another one, which is asked the same; None for none.
        reading: what it reads of a row.
    """

    def __init__(self, predictor: Predictor, against: Predictor | None, reading: Reading) -> None:
        self._predictor = predictor
        self._against = against
        self._reading = reading

    @property
    def asked_of_a_row(self) -> int:
        """How many answers a row takes: one of each version."""
        return 1 if self._against is None else 2

    def columns(self, probabilities: bool) -> list[str]:
        """Returns the names of the cells of an answer, in order; those of classes' probabilities if asked for."""
        own = [name for name in self._predictor.cells if probabilities or not name.startswith(PROBABILITY)]
        return own if self._against is None else [*own, AGAINST, DIFFERS]

    def answers(
        self, rows: Sequence[Row], unread: Unread, tell: Callable[[int], object] = lambda done: None
    ) -> list[AnswerCells | str]:
        """Returns the cells of the answer to each row, or why it has none.

        Args:
            rows: of a file.
            unread: counts what the version, and not the other one, does not read.
            tell: is told how many more answers are done.
        """
        # Images are many times as large as what stands in a table.
        step = max(1, len(rows)) if self._reading.is_small else MOST_LARGE
        parts = [rows[begin : begin + step] for begin in range(0, len(rows), step)]
        return [cells for part in parts for cells in self._of_part(part, unread, tell)]

    def _of_part(self, rows: Sequence[Row], unread: Unread, tell: Callable[[int], object]) -> list[AnswerCells | str]:
        found: list[AnswerCells | str] = [""] * len(rows)
        values, places = [], []
        for place, row in enumerate(rows):
            try:
                values.append((self._reading.value(row), self._reading.task(row)))
            except ValueError as error:
                found[place] = str(error)
                tell(self.asked_of_a_row)
            else:
                places.append(place)
        for place, cells in zip(places, self._of_values(values, self._predictor, unread, tell), strict=True):
            found[place] = cells
        if self._against is not None:
            others = self._of_values(values, self._against, Unread(), tell)
            for place, other in zip(places, others, strict=True):
                cells = found[place]
                if isinstance(cells, dict):
                    said = f"no answer: {other}" if isinstance(other, str) else main(other)
                    found[place] = cells | {AGAINST: said, DIFFERS: said != main(cells)}
        return found

    def _of_values(
        self,
        values: Sequence[tuple[Any, str | None]],
        predictor: Predictor,
        unread: Unread,
        tell: Callable[[int], object],
    ) -> list[AnswerCells | str]:
        """Returns the answers to values; one that the version refuses is found by halves."""
        if not values:
            return []
        tasks = [task for _, task in values if task is not None]
        read, told = Unread(), 0

        def count(done: int) -> None:
            nonlocal told
            told += done
            tell(done)

        try:
            inputs = [value for value, _ in values]
            given = tasks if predictor.has_tasks else None
            table = predictor.answer(inputs, given, predictor.most_rows, read, count)
            unread.add(read)
            return answer_cells(predictor.gives, table, len(values))
        except InputError as error:
            if len(values) == 1:
                tell(1)
                return [str(error).removeprefix("inputs[0]: ")]
        tell(-told)
        half = len(values) // 2
        halves = (values[:half], values[half:])
        return [cells for each in halves for cells in self._of_values(each, predictor, unread, tell)]


def main(cells: Mapping[str, Any]) -> Any:
    """Returns the answer itself, which comes first."""
    return next(iter(cells.values()))


def kept_columns(keep: Sequence[str] | None, there: Sequence[str], further: Iterable[str]) -> tuple[str, ...]:
    """Returns the columns of a table that are kept beside the answers.

    Args:
        keep: their names; None for all.
        there: columns of the table.
        further: names that other columns of the result have.

    Raises:
        InputError: one is not there, or is called as one of `further`.
    """
    kept, taken = there if keep is None else keep, set(further)
    unknown = [name for name in kept if name not in there]
    if unknown:
        raise InputError(f"keep (--keep-columns): no column {unknown[0]!r}; there are {listed(there)}")
    both = [name for name in kept if name in taken]
    if both:
        others = [name for name in kept if name not in both]
        raise InputError(
            f"the rows have a column {both[0]!r}, as the answers have; leave it out: keep={others!r} (--keep-columns "
            f"{','.join(others) or 'none'})"
        )
    return tuple(kept)
