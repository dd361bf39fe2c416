"""A run on disk: which one a command continues, what it may change, and its log of events."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from progressive_tf.disk import WriteError, writing
from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.files import read_json, write_text
from progressive_tf.plan.loading import LoadedPlan, validate, with_change
from progressive_tf.plan.reading import read_yaml_mapping, to_yaml
from progressive_tf.plan.schema import Plan
from progressive_tf.run_order import in_order, number_run

TUNED_FILE = "tuned.json"


@dataclass(frozen=True)
class Finished:
    """How a run ended.

    Attributes:
        run: the run's folder.
        promoted: whether every stage was released.
        was_before: whether there was nothing left to do.
    """

    run: Path
    promoted: bool
    was_before: bool = False


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def environment_file(self) -> Path:
        """The record of what it is computed with, and of what it began from."""
        return self.path / "environment.json"

    def stage(self, index: int, name: str) -> Path:
        """Returns the folder of a stage; `index` counts from 0."""
        return self.path / "stages" / f"{index + 1:02d}-{name}"

    def plan(self) -> Plan:
        """Returns the plan that the run was last continued with."""
        path = self.path / "plan.yaml"
        return validate(read_yaml_mapping(path), str(path))

    @property
    def environment(self) -> dict[str, Any] | None:
        """The record of what it is computed with and began from, or None before its network is at those weights."""
        return read_json(self.environment_file) if self.environment_file.exists() else None

    @property
    def splits_empty_rows(self) -> bool:
        """Whether rows without a text are in this run's parts, as they were in runs that earlier releases began."""
        recorded = self.environment
        return recorded is not None and not recorded.get("empty_rows_left_out", False)

    def as_it_was_split(self, loaded: LoadedPlan) -> LoadedPlan:
        """Returns a plan with the split that this run began with.

        Runs of earlier releases gave no class gate rows beyond its share.
        """
        recorded = self.environment
        if recorded is None or recorded.get("gate_rows_of_each_class", False):
            return loaded
        plan, least = loaded.plan, {"min_per_class": 0}
        stages = [
            stage
            if stage.data.split is None
            else stage.model_copy(
                update={"data": stage.data.model_copy(update={"split": stage.data.split.model_copy(update=least)})}
            )
            for stage in plan.stages
        ]
        data = plan.data.model_copy(update={"split": plan.data.split.model_copy(update=least)})
        return replace(loaded, plan=plan.model_copy(update={"data": data, "stages": tuple(stages)}))

    def begun(self, plan: Plan) -> int:
        """Returns how many stages of a plan have begun here."""
        folders = [self.stage(index, stage.name) for index, stage in enumerate(plan.stages)]
        return sum((folder / "data.json").exists() for folder in folders)

    def with_tuned_stages(self, plan: Plan) -> Plan:
        """Returns a plan with what sweeps have chosen for those of its stages that have begun here."""
        for index, stage in enumerate(plan.stages):
            folder = self.stage(index, stage.name)
            if stage.tune is not None and (folder / "data.json").exists() and (folder / TUNED_FILE).exists():
                plan = with_change(plan, index, read_json(folder / TUNED_FILE))
        return plan

    def sweep(self, index: int, name: str) -> Path:
        """Returns the folder of a stage's sweep; `index` counts from 0."""
        return self.path / "sweeps" / f"{index + 1:02d}-{name}"

    @contextlib.contextmanager
    def saying_how_to_continue(self) -> Iterator[None]:
        """Lets an interruption, or a disk that refuses, say what is kept and how to go on.

        Raises:
            KeyboardInterrupt: as in the block.
            WriteError: for anything that the disk refused in the block.
        """
        kept = f"what is finished is saved in {self.path}. The same command continues there"
        try:
            with writing(self.path, kept):
                yield
        except KeyboardInterrupt:
            with contextlib.suppress(OSError):
                self.log("interrupted")
            raise KeyboardInterrupt(f"interrupted; {kept}") from None

    def log(self, event: str, **details: Any) -> None:
        """Appends one line to events.jsonl, in a single write.

        Raises:
            WriteError: the disk refuses.
        """
        entry = {"time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"), "event": event, **details}
        line = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
        path = self.path / "events.jsonl"
        with writing(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                length = os.fstat(descriptor).st_size
                if os.write(descriptor, line) < len(line):
                    os.ftruncate(descriptor, length)  # half a line would spoil the next
                    raise WriteError(path, errno.ENOSPC)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keeps a second process from training in the same output folder; the lock goes with the process.

    Raises:
        ProgressiveError: another process holds it.
        InputError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise ProgressiveError(f"--out {out}: another process is training here; wait for it or give another") from None
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror}; give another folder") from None
    try:
        yield
    finally:
        lock.release()


def open_run(out: Path, loaded: LoadedPlan, fresh: bool) -> tuple[RunFolder, bool]:
    """Returns the run that this plan continues, or a new one, and whether it is new.

    A run fits when the plan's name, model, data and seed are those it began with.

    Args:
        out: the folder of the plan's runs.
        loaded: the plan.
        fresh: begin a new run in any case.

    Raises:
        InputError: a stage that has begun is not what it was; the message lists what differs.
    """
    fitting = [] if fresh else in_order(path.parent for path in out.glob(f"*-{loaded.identity}/plan.yaml"))
    if not fitting:
        run = RunFolder(_new_folder(out, loaded.identity))
        number_run(run.path)
        write_text(run.path / "plan.yaml", loaded.to_yaml())
        return run, True
    run = RunFolder(fitting[-1])
    earlier = run.plan()
    begun = run.begun(earlier)
    changes = differences(earlier, loaded.plan, begun)
    if changes:
        listed = "".join(f"\n  {change}" for change in changes)
        raise InputError(
            f"{run.path}: stages that have begun cannot change:{listed}\n"
            f"undo the change, or begin a new run with --fresh"
        )
    if len(loaded.plan.stages) >= begun:
        write_text(run.path / "plan.yaml", to_yaml(_grown(earlier, loaded).model_dump(mode="json")))
    return run, False


def _new_folder(out: Path, identity: str) -> Path:
    # To the microsecond: two runs of a plan that share a registry must not share an id.
    started = datetime.now(timezone.utc)
    while True:
        path = out / f"{started.strftime('%Y%m%d-%H%M%S-%f')}-{identity}"
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:  # the clock was set back
            started += timedelta(microseconds=1)


def why_new(run: RunFolder) -> list[str]:
    """Returns one line per key of model, data and seed in which a new run differs from the newest other one."""
    others = [path.parent for path in run.path.parent.glob("*/plan.yaml") if path.parent != run.path]
    if not others:
        return []
    try:
        earlier = RunFolder(in_order(others)[-1]).plan()
    except InputError:
        return []  # a run of another release says nothing about this one
    now = run.plan().model_dump(mode="json")
    if earlier.name != now["name"]:
        return []
    before = earlier.model_dump(mode="json")
    return [line for key in ("model", "data", "seed") for line in changed_keys(before[key], now[key], key)]


def differences(earlier: Plan, now: Plan, begun: int) -> list[str]:
    """Returns one line per key in which the begun stages, the start, the scenario or the costs of two plans differ."""
    before, after = earlier.model_dump(mode="json"), now.model_dump(mode="json")
    lines = [
        f"{key}: was {before[key]!r}, now {after[key]!r}"
        for key in ("task", "scenario", "start", "costs")
        if before[key] != after[key]
    ]
    for index in range(min(begun, len(after["stages"]))):
        place = f"stages[{index}]"
        for stage in (before["stages"][index], after["stages"][index]):
            stage["cache"] = {"dtype": stage["cache"]["dtype"]}  # how outputs are kept changes no bit
        lines += changed_keys(before["stages"][index], after["stages"][index], place)
    return lines


def _grown(earlier: Plan, loaded: LoadedPlan) -> Plan:
    """Returns the plan as it stands now, with the run's stages that a smaller `--stages` leaves out."""
    now, whole = loaded.plan, loaded.whole
    return whole.model_copy(update={"stages": whole.stages[: max(len(now.stages), len(earlier.stages))]})


def changed_keys(before: Any, after: Any, place: str) -> list[str]:
    """Returns one line per key in which two JSON-like values differ; `place` is where they stand."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return [line for key in keys for line in changed_keys(before.get(key), after.get(key), f"{place}.{key}")]
    return [] if before == after else [f"{place}: was {before!r}, now {after!r}"]
