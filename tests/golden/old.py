"""Finished runs with their registries, made by an earlier state of the code, and what is done with them now."""

from __future__ import annotations

import getpass
import json
import os
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import records
from plans import ASKED_TEXTS, BERT, MLP, TABLE_DATA, TABLE_ROWS, never, passes, plan, write_table, write_texts

from progressive_tf.files import read_json, write_json
from progressive_tf.stack import minor_version

FIRST = "2.15"
"""The TensorFlow that old.tar.gz was made with; old-2.20.tar.gz was made with the one of its name."""
ANSWERS = records.FOLDER / "old-answers.json"
"""TensorFlow → case → what its versions said to the case's instances, with that TensorFlow."""
LONGEST = 300.0  # seconds that no server needs to load a version
AWAY, PYTHON = "/away", "python"  # what stands in the archive for the folder and the interpreter it was made with


@dataclass(frozen=True)
class Old:
    """A run that is finished; its last stage was held.

    Args:
        plan: it was made with.
        write: writes what the plan reads.
        instances: raw inputs for its server.
        later: plans that go on from it: a further stage in the same run, a new run from the stable version.
    """

    plan: Mapping[str, Any]
    write: Any
    instances: Sequence[Any]
    later: Mapping[str, Mapping[str, Any]]


_TABLE = plan(
    "tabular-classification",
    MLP,
    TABLE_DATA,
    {"name": "one", "data": {"take": 24}},
    {"name": "two", "data": {"take": 48}},
    {"name": "held", "data": {"take": 48}, "gate": never()},
) | {"on_hold": "continue"}
_TEXTS = plan(
    "text-classification",
    BERT,
    {"source": "data.csv"},
    {"name": "one", "data": {"take": 24}, "adaptation": {"method": "lora", "rank": 2}},
    {"name": "held", "data": {"take": 24}, "adaptation": {"method": "head"}, "gate": never()},
)
OLD: Mapping[str, Old] = {
    "table": Old(
        _TABLE,
        write_table,
        TABLE_ROWS,
        {
            "grown": {**_TABLE, "stages": [*_TABLE["stages"], {"name": "more", "data": {"all": True}}]},
            "from-stable": {
                **_TABLE,
                "start": "stable",
                "seed": 4,
                "stages": [{"name": "new", "data": {"take": 24}, "gate": passes()}],
            },
        },
    ),
    "texts": Old(_TEXTS, write_texts, ASKED_TEXTS["serving_default"]["text"], {}),
}


def archive_of(tensorflow: str) -> Path:
    """Returns the archive of the runs that a TensorFlow, such as 2.15, has made."""
    return records.FOLDER / ("old.tar.gz" if tensorflow == FIRST else f"old-{tensorflow}.tar.gz")


def present() -> str:
    """Returns the TensorFlow of this process."""
    return minor_version(version("tensorflow"))


def make(folder: Path) -> None:
    """Trains the runs, each in a folder of its own, packs them, and notes what their versions say."""
    from progressive_tf.plan.reading import to_yaml
    from progressive_tf.train import app as train

    with (
        tarfile.open(archive_of(present()), "w:gz", compresslevel=9) as archive,
        mock.patch.object(getpass, "getuser", return_value="you"),
    ):
        for name, old in OLD.items():
            place = folder / name
            place.mkdir()
            os.chdir(place)
            old.write(place)
            for file, content in {"plan": old.plan, **old.later}.items():
                (place / f"{file}.yaml").write_text(to_yaml(dict(content)), encoding="utf-8")
            code, printed = records.run_command(train, "--plan", "plan.yaml")
            assert code == 3, printed
            for file in [*place.glob("runs/*/*/*.json*"), *place.glob("runs/*/*/*.html")]:
                said = file.read_text(encoding="utf-8")
                file.write_text(said.replace(str(place), AWAY).replace(sys.executable, PYTHON), encoding="utf-8")
            for path in sorted(place.rglob("*")):
                inside = path.relative_to(place)
                if path.is_file() and path.name != ".lock" and not {"tensorboard", "cache"} & set(inside.parts):
                    archive.add(path, f"{name}/{inside.as_posix()}", filter=_nobody)
    note_answers(folder)


def note_answers(folder: Path) -> None:
    """Writes what the versions say with the TensorFlow that made them."""
    known = read_json(ANSWERS) if ANSWERS.exists() else {}
    said = {}
    for name, old in OLD.items():
        place = folder / f"asked-{name}"
        place.mkdir()
        os.chdir(place)
        unpack(name, place)
        said[name] = predictions(old)
    write_json(ANSWERS, known | {present(): said})


def predictions(old: Old) -> list[dict[str, Any]]:
    """Returns what the stable version in the current folder says to each of the instances."""
    said: list[dict[str, Any]] = replies(str(old.plan["name"]), old.instances)["answers"]["predictions"]
    return said


def _nobody(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def unpack(name: str, folder: Path, tensorflow: str | None = None) -> None:
    """Puts a run, its registry, its plan and its data into a folder, as if they had been made there; those that a
    TensorFlow has made, by default that of this process.
    """
    with tarfile.open(archive_of(tensorflow or present())) as archive:
        for member in archive.getmembers():
            owner, _, inside = member.name.partition("/")
            if owner == name:
                target = folder / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(member)
                assert content is not None
                target.write_bytes(content.read())
    for file in folder.glob("runs/*/*/*.json*"):
        said = file.read_text(encoding="utf-8")
        file.write_text(said.replace(AWAY, str(folder)), encoding="utf-8")


def follow(name: str, folder: Path) -> dict[str, Any]:
    """Does with an old run in the current folder all that a user may do, and returns what came of it, JSON-like."""
    from progressive_tf.release import app as release
    from progressive_tf.report import app as report
    from progressive_tf.train import app as train

    old, model = OLD[name], str(OLD[name].plan["name"])
    unpack(name, folder)
    (run,) = (path.parent.relative_to(folder) for path in folder.glob("runs/*/*/plan.yaml"))
    done: dict[str, Any] = {}
    names = {release: "release", report: "report", train: "train"}

    def do(app: Any, *arguments: str, prints: bool = True) -> None:
        code, printed = records.run_command(app, *arguments)
        said = json.loads(printed) if "--json" in arguments else printed.splitlines()
        done[" ".join([names[app], *arguments])] = {"exit": code, "said": said if prints else None}

    do(release, "list")
    do(release, "list", "--json")
    do(release, "show", model, "--all")
    do(release, "show", model, "--json")
    do(report, str(run))
    page = records.read_file(folder / run / "report.html")
    do(train, "--plan", "plan.yaml")
    done["served"] = replies(model, old.instances)
    stages = [path.name for path in sorted((folder / run / "stages").iterdir())]
    if name == "table":
        do(release, "rollback", model, "--reason", "not yet")
    do(release, "promote", str(run / stages[-1]), "--force", "--reason", "by hand")
    for file in old.later:
        do(train, "--plan", f"{file}.yaml", prints=False)
    done["served at last"] = replies(model, old.instances)
    do(release, "verify")
    found = {
        "processor": records.processor(),
        "done": done,
        "page": page,
        "files": dict(records.read_files(folder, "runs", "registry")),
    }
    return records.scrubbed(found, {str(folder): "FOLDER", sys.executable: "PYTHON"})


def replies(model: str, instances: Sequence[Any]) -> dict[str, Any]:
    """Returns what the server that `serve` starts says of a model and answers to raw inputs."""
    from fastapi.testclient import TestClient

    from progressive_tf.serve import app as serve

    found: dict[str, Any] = {}

    def ask(application: Any, **_: Any) -> None:
        with TestClient(application) as client:
            end = time.monotonic() + LONGEST
            while client.get("/readyz").status_code != 200:
                assert time.monotonic() < end, "waited in vain"
                time.sleep(0.05)
            found["status"] = client.get(f"/v1/models/{model}").json()
            found["metadata"] = _without_tensors(client.get(f"/v1/models/{model}/metadata").json())
            found["answers"] = client.post(f"/v1/models/{model}:predict", json={"instances": list(instances)}).json()

    with mock.patch("uvicorn.run", ask):
        records.run_command(serve, "--model", model)
    return found


def _without_tensors(metadata: dict[str, Any]) -> dict[str, Any]:
    """Returns a version's metadata without the names that TensorFlow gave to tensors inside it."""
    for signature in metadata["metadata"]["signature_def"]["signature_def"].values():
        for tensor in [*signature["inputs"].values(), *signature["outputs"].values()]:
            del tensor["name"]
    return metadata
