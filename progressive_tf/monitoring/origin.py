"""The run and the stage that a version came from, whatever ran later there or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from progressive_tf.errors import InputError
from progressive_tf.files import read_json
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.registry import ModelVersions, Version
from progressive_tf.run_order import in_order
from progressive_tf.training.run.run_folder import RunFolder, changed_keys, differences

_COMPARED = ("name", "task", "model", "data", "seed")
_SHOWN = 5


@dataclass(frozen=True)
class Origin:
    """Where a version came from.

    Args:
        version: a released one.
        run: the folder of its run.
        stage: the folder of its stage, or of the candidate of a stage that learns from a stream.
        slices: whose gate rows its gate looked at: those of its stage and of the released ones that it builds on.
    """

    version: Version
    run: Path
    stage: Path
    slices: tuple[str, ...]


def find_origin(model: ModelVersions, version: Version, runs: Path) -> Origin | None:
    """Returns where a version came from, or None where its run is not there.

    Args:
        model: the version's.
        version: a released one.
        runs: the folder of all runs, by plan; or of the plan's runs.
    """
    run = find_run(version, runs)
    stage = None if run is None else _stage_folder(run, version.stage)
    if run is None or stage is None:
        return None
    slices = []
    for number in model.lineage(version.number):
        ancestor = model.version(number)
        folder = _stage_folder(run, ancestor.stage) if ancestor.run == version.run else None
        if folder is None:
            continue
        record = (folder.parent.parent if folder.parent.name == "candidates" else folder) / "data.json"
        if record.is_file():
            slices.append(str(read_json(record)["slice"]))
    return Origin(version, run, stage, tuple(dict.fromkeys(slices)))


def find_run(version: Version, runs: Path) -> Path | None:
    """Returns the folder of a version's run, or None where it is not there."""
    folders = (runs / version.model / version.run, runs / version.run)
    return next((folder for folder in folders if (folder / "plan.yaml").is_file()), None)


def start_of(model: ModelVersions, version: Version, runs: Path) -> Version | None:
    """Returns the version that the run of a version started from; None where it started from none, or is not there.

    Raises:
        InputError: the registry has it no more.
    """
    run = find_run(version, runs)
    begun = None if run is None else RunFolder(run).environment
    number = None if begun is None else begun["start"]["version"]
    return None if number is None else model.version(number)


def refuse_other_plan(model: ModelVersions, version: Version, loaded: LoadedPlan, given: str, runs: Path) -> None:
    """Refuses a plan that is not the one of a version's run, or whose training would not go on in that run.

    Args:
        model: the version's.
        version: a released one, to whose run a stage is to be added.
        loaded: the plan.
        given: its name or file, as it was asked for.
        runs: the folder of all runs, by plan.

    Raises:
        InputError: says which run the version came from, what differs, and how to go on.
    """
    came = f"version {version.number} of {model.name}, to which the stage would be added, came from run {version.run}"
    published = (version.manifest() or {}).get("model", model.name)
    if published != model.name:
        raise InputError(
            f"{model.files.path}: its versions are of the plan {published}; a model's folder in a registry has the "
            f"name of its plan. Call the folder {published} again"
        )
    if loaded.plan.name != model.name:
        raise InputError(f"--plan {given}: the plan of {model.name} expected; this one is called {loaded.plan.name}")
    run = find_run(version, runs)
    if run is None:
        is_same = version.run.endswith(f"-{loaded.identity}")
        other = "" if is_same else f"\n--plan {given} is another plan: its model, data or seed are not that run's."
        raise InputError(
            f"{came} (stage {version.stage}), which is not in {runs / model.name}, so that training would begin a new "
            f"run with all of its stages.{other}\nName the folder it is in with --runs, or bring it back. Without it, "
            f"write a plan whose stages are new ones and that has `start: {version.number}`: it begins with this "
            f"version's weights"
        )
    _refuse_differences(RunFolder(run), loaded, given, came)
    newest = in_order(path.parent for path in run.parent.glob(f"*-{loaded.identity}/plan.yaml"))[-1:]
    if newest not in ([], [run]):
        raise InputError(
            f"{came}; training goes on in the newest run of a plan, which is {newest[0].name}. Move that one out of "
            f"{run.parent}, or release a stage of it"
        )


def later_release(model: ModelVersions, version: Version) -> Version | None:
    """Returns the newest version of the same run, if that is another: training goes on from its stage."""
    newest = max((other for other in model.versions() if other.run == version.run), key=lambda other: other.number)
    return None if newest.number == version.number else newest


def _refuse_differences(run: RunFolder, loaded: LoadedPlan, given: str, came: str) -> None:
    before, now = run.plan(), loaded.plan
    dumped = [plan.model_dump(mode="json") for plan in (before, now)]
    changes = [line for key in _COMPARED for line in changed_keys(dumped[0][key], dumped[1][key], key)]
    begun = run.begun(before)
    changes += [line for line in differences(before, now, begun) if not line.startswith("task:")]
    missing = [stage.name for stage in before.stages[len(now.stages) : begun]]
    changes += [f"stages: {', '.join(missing)} of the run missing"] if missing else []
    if changes:
        listed = "".join(f"\n  {change:.300}" for change in changes[:_SHOWN])
        more = f"\n  and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
        raise InputError(
            f"--plan {given}: not the plan of the run that it is to go on from.\n{came}. This plan differs from that "
            f"run's:{listed}{more}\nGive that run's plan file with --plan; {run.path / 'plan.yaml'} shows what it says"
        )


def _stage_folder(run: Path, stage: str) -> Path | None:
    """Returns the folder of a stage, or of a candidate that is called `stage.rows`; None where there is none."""
    folders = {path.name.partition("-")[2]: path for path in sorted((run / "stages").glob("*-*")) if path.is_dir()}
    if stage in folders:
        return folders[stage]
    name, _, rows = stage.rpartition(".")
    if name in folders and rows.isdecimal():
        candidate = folders[name] / "candidates" / f"{int(rows):09d}"
        return candidate if candidate.is_dir() else None
    return None
