"""The commands that go on with a run, written so that they can be copied whole into a shell."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from progressive_tf.reporting.records import RunRecord

DEFAULT_REGISTRY = "registry"
OF_TRAIN_ALONE = "--stages"


@dataclass(frozen=True)
class CommandsAgain:
    """Writes commands about a run, for the folder in which it was last continued.

    Attributes:
        model: the model's name in the registry.
        python: what starts Python there.
        run: the run's folder.
        registry: the registry's folder.
        flags: those of `train` that continue the run; None where the run does not say them, as an old one.
    """

    model: str
    python: str
    run: Path
    registry: str
    flags: tuple[str, ...] | None

    def train(self, *more: str) -> list[str]:
        """Returns the command that continues the run, with more flags; nothing where its flags are not known."""
        if self.flags is None:
            return []
        flags = _without_set_again(self.flags, more)
        return [self._command("train", *flags, *self._place(flags), *more)]

    def tune(self, *more: str) -> list[str]:
        """Returns the command that sweeps a stage of the run; nothing where its flags are not known."""
        if self.flags is None:
            return []
        flags = _without(self.flags, OF_TRAIN_ALONE)
        return [self._command("tune", *flags, *self._place(flags), *more)]

    def release(self, action: str, *words: str) -> str:
        """Returns a command about the model's versions."""
        return self._command("release", action, *words, *self._place(()))

    def serve(self) -> str:
        """Returns the command that serves the model."""
        return self._command("serve", "--model", self.model, *self._place(()))

    @property
    def has_override(self) -> bool:
        """Whether the run was continued with an override file, of which there can be one."""
        return self.flags is not None and "--override" in self.flags

    def _place(self, flags: Sequence[str]) -> list[str]:
        return [] if self.registry == DEFAULT_REGISTRY or "--registry" in flags else ["--registry", self.registry]

    def _command(self, module: str, *words: str) -> str:
        return shlex.join([self.python, "-m", f"progressive_tf.{module}", *words])


def commands_of(run: RunRecord) -> CommandsAgain:
    """Returns the commands about a run, by what it says of the command that continued it last."""
    again: Any = next((event["again"] for event in reversed(run.events) if isinstance(event.get("again"), dict)), {})
    recorded = run.environment.registry if run.environment is not None else None
    flags = again.get("flags")
    return CommandsAgain(
        model=str(run.plan.get("name", "")),
        python=str(again.get("python", "python")),
        run=Path(again.get("run", run.path)),
        registry=str(again.get("registry") or recorded or DEFAULT_REGISTRY),
        flags=tuple(map(str, flags)) if isinstance(flags, list) else None,
    )


def _without(flags: Sequence[str], name: str) -> list[str]:
    """Returns flags without one of them and its value."""
    kept = list(flags)
    while name in kept:
        place = kept.index(name)
        del kept[place : place + 2]
    return kept


def _without_set_again(flags: Sequence[str], more: Sequence[str]) -> list[str]:
    """Returns flags without each `--set` of a key that further flags set."""
    keys = {word.partition("=")[0] for flag, word in itertools.pairwise(more) if flag == "--set"}
    kept: list[str] = []
    for place, word in enumerate(flags):
        if place and flags[place - 1] == "--set" and word.partition("=")[0] in keys:
            kept.pop()
        else:
            kept.append(word)
    return kept
