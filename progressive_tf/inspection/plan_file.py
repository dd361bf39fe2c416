"""A drafted plan on disk: YAML that says why, beside it what the plan needs, all tried before it is written."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from progressive_tf.assets import is_asset
from progressive_tf.data.cells import cell_text
from progressive_tf.data.plan_data import read_plan_data
from progressive_tf.disk import writing
from progressive_tf.errors import InputError
from progressive_tf.files import atomic_path, cache_folder, fsync, write_text
from progressive_tf.inspection.draft import Draft
from progressive_tf.inspection.sizes import Sizes
from progressive_tf.output import printable
from progressive_tf.plan.loading import load_plan

WIDTH = 118
NAME_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"


@dataclass(frozen=True)
class Written:
    """The files of a plan that was written, and what to say of them."""

    files: tuple[Path, ...]
    lines: tuple[str, ...]


def plan_name(stem: str) -> str:
    """Returns a name that a plan can have, from a file's."""
    name = "".join(letter if letter in NAME_LETTERS else "-" for letter in stem).strip("-._")[:64]
    return name or "plan"


def write_plan(draft: Draft, target: Path) -> Written:
    """Writes a plan with the files that it needs, after its rows have been read as a run would read them.

    It is tried in a hidden folder beside its place, so that no untried plan is left where the process is killed.

    Args:
        draft: the plan.
        target: where it is to stand; the other files stand beside it.

    Raises:
        InputError: one of the files is there already, or a run would refuse the plan or its rows; nothing is left then.
        WriteError: the disk refuses.
    """
    folder, stem = target.parent, draft.subject.stem
    rows_file = _copy_name(draft) if draft.copy else None
    vocabulary = None if draft.vocabulary is None else f"{stem}-vocabulary.txt"
    names = [name for name in (rows_file, vocabulary, target.name) if name is not None]  # the plan once all is there
    for name in (target.name, *names):
        if (folder / name).exists() or (folder / name).is_symlink():
            raise InputError(f"{folder / name} is there already; move it away, or name another place with --to")
    with writing(target):
        folder.mkdir(parents=True, exist_ok=True)
        tried = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=folder))
    try:
        if rows_file is not None:
            _write_rows(draft, tried / rows_file)
        if vocabulary is not None and draft.vocabulary is not None:
            write_text(tried / vocabulary, "".join(f"{token}\n" for token in draft.vocabulary))
        write_text(tried / target.name, plan_text(draft, rows_file or _source(draft, tried), target.as_posix()))
        _try(tried / target.name, folder)
        write_text(tried / target.name, plan_text(draft, rows_file or _source(draft, folder), target.as_posix()))
        _move(tried, folder, names)
    finally:
        shutil.rmtree(tried, ignore_errors=True)
    lines = []
    if rows_file is not None:
        lines.append(f"{rows_file}: the rows as a run reads them, because {'; '.join(draft.copy)}")
    if draft.vocabulary is not None:
        lines.append(f"{vocabulary}: {len(draft.vocabulary):,} words and letters of these texts")
    return Written(tuple(folder / name for name in names), tuple(lines))


def _try(tried: Path, folder: Path) -> None:
    """Reads all rows of a plan as a run does; an error names paths as they are from the plan's place."""
    try:
        read_plan_data(load_plan(str(tried)), cache_folder(), None)
    except InputError as error:
        place = "" if folder == Path() else f"{folder}/"
        said = str(error).replace(f"{tried.parent}/../", place).replace(f"{tried.parent}/", place)
        raise InputError(f"no plan was written, for a run would refuse it: {said}") from None


def _move(tried: Path, folder: Path, names: Sequence[str]) -> None:
    """Gives files their places, in this order; those that have theirs already go where one cannot have its own."""
    moved: list[Path] = []
    try:
        for name in names:
            with writing(folder / name):
                os.replace(tried / name, folder / name)
            moved.append(folder / name)
        fsync(folder)
    except BaseException:
        for path in moved:
            path.unlink(missing_ok=True)
        raise


def _source(draft: Draft, folder: Path) -> str:
    path = draft.subject.path
    if is_asset(path):
        return path
    return Path(os.path.relpath(Path(path).expanduser(), folder)).as_posix()


def _copy_name(draft: Draft) -> str:
    table = draft.subject.table
    has_lists = table is None or any(column.lists for column in draft.subject.columns)
    return f"{draft.subject.stem}-rows{'.jsonl' if has_lists else '.csv'}"


def _write_rows(draft: Draft, target: Path) -> None:
    """Writes the rows that a run reads, with all of their columns."""
    subject = draft.subject
    if subject.table is None:
        raise InputError(
            f"{subject.name}: {'; '.join(draft.copy)}; correct the file first: "
            f"{subject.unreadable[0].what} (line {subject.unreadable[0].line:,})"
        )
    kept = set(subject.places.tolist())
    names = list(subject.table.cells)
    rows = enumerate(zip(*subject.table.cells.values(), strict=True))
    with atomic_path(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        if target.suffix == ".jsonl":
            for place, row in rows:
                if place in kept:
                    value = dict(zip(names, row, strict=True))
                    stream.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
            return
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(map(_cell, row) for place, row in rows if place in kept)


def _cell(cell: Any) -> str:
    text = cell_text(cell)
    return json.dumps(cell, ensure_ascii=False, default=str) if text is None else text


def plan_text(draft: Draft, source: str, file: str) -> str:
    """Returns the plan as YAML with comments.

    Args:
        draft: the plan.
        source: `data.source`.
        file: what the plan's own file is called.
    """
    lines = [
        *_comment(
            f"Made from {draft.subject.name} by `plan new`; each line says why it is so. Change what you know better."
        ),
        "#",
        *_comment(f"Command: python -m progressive_tf.train --plan {file}"),
        f"name: {flow(draft.name)}",
        f"task: {draft.subject.task.name}",
        "seed: 1",
        *(comment for why in draft.network.why if why for comment in _comment(why)),
        f"model: {flow(draft.network.model)}",
        "data:",
        *_indented(_data(draft, source)),
    ]
    if len(draft.stages) > 1:
        lines += [
            *_comment("a first stage that is not good enough yet does not keep the next, with more rows, from starting")
        ]
        lines += ["on_hold: continue"]
    lines += ["defaults:", *_indented(_defaults(draft)), "stages:"]
    for stage, why in draft.stages:
        lines += _indented([*(_comment(why) if why else []), f"- {flow(stage)}"])
    return "\n".join(lines) + "\n"


def _data(draft: Draft, source: str) -> Iterator[str]:
    yield f"source: {flow(source)}"
    for key, (value, why) in draft.data.items():
        if key == "split.group":
            continue
        if key != "split":
            yield from _said(f"{key}: {flow(value)}", why)
            continue
        assert isinstance(value, Sizes)
        split = {"validation": value.validation, "gate": value.gate, "test": value.test}
        group, reason = draft.data.get("split.group", (None, ""))
        yield from _comment(
            f"about {value.gate_rows:,} rows for the gate, {value.validation:,} to choose on, {value.pool:,} to train "
            f"on; {draft.rules.power}"
        )
        if group is not None:
            yield from _comment(f"group: {reason}")
        yield f"split: {flow(split | ({} if group is None else {'group': group}))}"
    if draft.network.quality:
        yield f"quality: {flow(draft.network.quality)}"


def _defaults(draft: Draft) -> Iterator[str]:
    for key, value in draft.network.defaults.items():
        yield from _said(f"{key}: {flow(value)}", draft.network.adapts if key == "adaptation" else "")
    yield "gate:"
    for rule, why in zip(draft.rules.rules, draft.rules.why, strict=True):
        yield from _indented([*_comment(why), f"- {flow(rule)}"])


def _said(line: str, why: str) -> list[str]:
    """Returns a line with the reason behind it, or above it where there is no room."""
    if not why:
        return [line]
    whole = f"{line}  # {printable(why, one_line=True)}"
    return [whole] if len(whole) <= WIDTH else [*_comment(why), line]


def _comment(text: str) -> list[str]:
    wrapped = textwrap.wrap(printable(text, one_line=True), WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    return [f"# {line}" for line in wrapped]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def flow(value: Any) -> str:
    """Returns a JSON-like value on one line of YAML."""
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = True
    writer.width = 1 << 20
    writer.allow_unicode = True
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    writer.dump(_plain(value), stream)
    return stream.getvalue().strip().removesuffix("...").strip()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
