"""Things in order that have names: `stages[0]` and `stages["pilot"]` are the same one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar, overload

from progressive_tf.errors import InputError, unknown_name


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


class Stages(Sequence[T], Generic[T]):
    """Stages by place, counted from 0, or by name.

    Args:
        stages: in the plan's order.

    Raises:
        InputError: no stage has the name or the place that is asked for.
    """

    def __init__(self, stages: Sequence[T]) -> None:
        self._stages = tuple(stages)

    @overload
    def __getitem__(self, place: int | str) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> Stages[T]: ...

    def __getitem__(self, place: int | str | slice) -> T | Stages[T]:
        if isinstance(place, slice):
            return Stages(self._stages[place])
        if isinstance(place, str):
            for stage in self._stages:
                if stage.name == place:
                    return stage
            raise InputError(unknown_name("stage", place, self.names))
        if not -len(self) <= place < len(self):
            raise StageIndexError(f"stages[{place}]: there are {len(self)}, counted from 0: {', '.join(self.names)}")
        return self._stages[place]

    def __len__(self) -> int:
        return len(self._stages)

    @property
    def names(self) -> list[str]:
        """The stages' names, in order."""
        return [stage.name for stage in self._stages]

    def __repr__(self) -> str:
        return f"Stages({', '.join(self.names)})"


class StageIndexError(InputError, IndexError):
    """A place that no stage has; an IndexError too, as iterating over a sequence expects."""
