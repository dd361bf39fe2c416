"""What is recorded of a run: all that it leaves on disk and what its versions answer; and how two records differ."""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import io
import json
import math
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from plans import Case

FOLDER = Path(__file__).parent
RELATIVE, ABSOLUTE = 1e-3, 1e-4

# Keys and columns whose values say when, where, by whom and with which code something was computed.
VOLATILE = frozenset(
    {
        *("time", "began", "created", "seconds", "examples_per_second", "who", "token", "prediction_ids"),
        *("python", "platform", "packages", "code", "code_sha256", "devices", "hardware", "command"),
        *("plan_folder", "releases_tried"),
        "manifest_sha256",  # of a file that holds what stands above
    }
)
SETS = frozenset({"tried_so_far"})  # written in an order that says nothing
# The same to the bit on one kind of processor, and with one release of what writes files, only.
BITS = frozenset({"weights_sha256", "base_sha256", "start_sha256", "tensors_sha256", "bytes"})
HIDDEN_SECTIONS = ("wrong", "environment", "plan")  # an order among equals; environment.json; plan.yaml

_RUN = re.compile(r"\d{8}-\d{6}-\d{6}-")
_EVENTS = re.compile(r"events\.out\.tfevents\.[^/]*")
_DURATION = r"\b\d+(\.\d+)? (ms|s|min|h)\b"
_MOMENT = re.compile(rf"\d{{4}}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?(\+00:00| UTC)?|{_DURATION}( {_DURATION})*")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+")
_SECONDS = re.compile(r"\d+\.\d")  # what a report prints with one decimal, and nothing else
_NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def processor() -> str:
    """Returns what bits of weights depend on: instructions, number of cores, and what libraries may use of them."""
    from tensorflow import __version__

    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    described = [line for line in lines if line.startswith(("flags", "model name"))]
    names = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS", "OPENBLAS_CORETYPE")
    limits = [f"{name}={os.environ.get(name)}" for name in names]
    parts = [*sorted(set(described)), str(len(os.sched_getaffinity(0))), *limits, __version__, np.__version__]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def run_command(app: Any, *arguments: str) -> tuple[int, str]:
    """Runs a command inside this process; returns its exit code and what it printed."""
    from progressive_tf import commands

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            commands.run_command(app, arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    if code not in (0, 3):
        raise AssertionError(f"{arguments}: {said.getvalue()}")
    return code, printed.getvalue()


def record(case: Case, folder: Path) -> dict[str, Any]:
    """Runs a case in the current folder and returns what is recorded of it, JSON-like.

    Args:
        case: is written into the folder first.
        folder: empty, and the current one.
    """
    from progressive_tf.plan.reading import to_yaml
    from progressive_tf.release import app as release
    from progressive_tf.train import app as train

    case.write(folder)
    (folder / "plan.yaml").write_text(to_yaml(dict(case.plan)), encoding="utf-8")
    name = str(case.plan["name"])
    code, _ = run_command(train, "--plan", "plan.yaml")
    printed = {" ".join(each): run_command(release, *each)[1].splitlines() for each in case.after}
    shown = {
        "list": json.loads(run_command(release, "list", "--json")[1]),
        "show": json.loads(run_command(release, "show", name, "--json")[1]),
    }
    registry = folder / "registry" / name
    newest = max((path.parent for path in registry.glob("*/saved_model.pb")), key=lambda version: int(version.name))
    found = {
        "processor": processor(),
        "exit": code,
        "files": dict(read_files(folder, "runs", "registry", "exported")),
        "served": {newest.name: served(newest, case.asked)},
        "release": {"printed": printed, **shown},
    }
    return scrubbed(found, {str(folder): "FOLDER", sys.executable: "PYTHON"})


def served(version: Path, asked: Mapping[str, Mapping[str, Sequence[Any]]]) -> dict[str, Any]:
    """Returns a version's signatures, its variables, and its answers to raw inputs."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  the tokenizer's operations

    def described(specs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: [spec.dtype.name, str(spec.shape)] for name, spec in specs.items()}

    model = tf.saved_model.load(str(version))
    signatures = {
        name: {
            "inputs": described(signature.structured_input_signature[1]),
            "outputs": described(signature.structured_outputs),
        }
        for name, signature in model.signatures.items()
    }
    answers = {}
    for name, inputs in asked.items():
        specs = model.signatures[name].structured_input_signature[1]
        given = {key: tf.constant(values, specs[key].dtype) for key, values in inputs.items()}
        answers[name] = {key: plain(value.numpy()) for key, value in model.signatures[name](**given).items()}
    return {"signatures": signatures, "answers": answers}


def read_files(folder: Path, *parts: str) -> Iterator[tuple[str, Any]]:
    """Yields every file of some folders: its path, without what is new in each run, and its content."""
    for part in parts:
        for path in sorted((folder / part).rglob("*")):
            if path.is_file() and path.name != ".lock":
                place = path.relative_to(folder).as_posix()
                content = read_file(path)
                yield (
                    _EVENTS.sub("events", _RUN.sub("RUN-", place)),
                    _masked(content) if path.stem in VOLATILE else content,
                )


def read_file(path: Path) -> Any:
    """Returns what a file says, JSON-like; of files that are TensorFlow's own only that they are there."""
    if path.name in ("saved_model.pb", "fingerprint.pb") or path.suffix == ".index":
        return "is there"
    if ".tfevents." in path.name:
        return _read_events(path)
    if path.name == "tf_serving_warmup_requests":
        return _read_warm_up(path)
    if path.suffix.startswith(".data-"):
        return _read_variables(path.with_suffix(""))
    return _READERS.get(path.suffix, _read_text)(path)


def _read_text(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _read_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in _read_text(path)]


def _read_yaml(path: Path) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(path)


def _read_csv(path: Path) -> dict[str, list[Any]]:
    with path.open(encoding="utf-8", newline="") as stream:
        first, *rows = csv.reader(stream)
    return {name: [_cell(row[index]) for row in rows] for index, name in enumerate(first)}


def _cell(text: str) -> int | float | str:
    for read in (int, float):
        with contextlib.suppress(ValueError):
            return read(text)
    return text


def _read_parquet(path: Path) -> dict[str, Any]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    texts = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items() if key != b"pandas"}
    return {
        "schema": {field.name: str(field.type) for field in table.schema},
        "metadata": _metadata(texts),
        "columns": {name: plain(table[name].to_pylist()) for name in table.column_names},
    }


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, "np") as stream:
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118  not a mapping
        return {"metadata": _metadata(stream.metadata() or {}), **_tensors(tensors)}


def _metadata(texts: Mapping[str, str]) -> dict[str, Any]:
    """Returns what a file's texts say, those that are JSON read."""
    return {key: json.loads(text) if text[:1] in ("{", "[") else text for key, text in texts.items()}


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path) as arrays:
        return _tensors(dict(arrays))


def _read_variables(prefix: Path) -> dict[str, Any]:
    """Returns a SavedModel's variables by the names that a start version is read with."""
    import tensorflow as tf

    names = [name for name, _ in tf.train.list_variables(str(prefix)) if not name.startswith("_CHECKPOINTABLE")]
    return _tensors({name: tf.train.load_variable(str(prefix), name) for name in names})


def _tensors(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + np.ascontiguousarray(tensors[name]).tobytes())
    return {
        "tensors_sha256": digest.hexdigest(),
        "tensors": {name: _summary(np.asarray(value)) for name, value in sorted(tensors.items())},
    }


def _summary(tensor: np.ndarray) -> dict[str, Any]:
    """Returns shape, type and, of numbers, moments and a sum in which every place has another weight."""
    summary: dict[str, Any] = {"shape": list(tensor.shape), "dtype": str(tensor.dtype)}
    if tensor.dtype.kind not in "fiu" or not tensor.size:
        return summary
    values = tensor.astype(np.float64).ravel()
    mixed = values @ np.cos(np.arange(values.size)) / math.sqrt(values.size)
    return summary | {"mean": plain(values.mean()), "deviation": plain(values.std()), "mixed": plain(mixed)}


def _read_events(path: Path) -> list[Any]:
    import tensorflow as tf
    from tensorflow.core.util.event_pb2 import Event

    found = []
    for raw in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        event = Event.FromString(raw)
        found += [[event.step, value.tag, plain(tf.make_ndarray(value.tensor))] for value in event.summary.value]
    return found


def _read_warm_up(path: Path) -> list[Any]:
    import tensorflow as tf
    from google.protobuf.json_format import MessageToDict
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    raw = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [MessageToDict(PredictionLog.FromString(each)) for each in raw]


def _read_journal(path: Path) -> dict[str, Any]:
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as journal:
        journal.row_factory = sqlite3.Row
        schema = [dict(row) for row in journal.execute("SELECT name, sql FROM sqlite_master ORDER BY name")]
        tables = [name for (name,) in journal.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: [dict(row) for row in journal.execute(f"SELECT * FROM {name}")] for name in sorted(tables)}
        return {"format": next(journal.execute("PRAGMA user_version"))[0], "schema": schema, "rows": rows}


class _Page(HTMLParser):
    """The words of a report by section; figures' are left out, as they are drawn of the same numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.section, self.inside, self.words = "top", 0, dict[str, list[str]]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside += tag in ("style", "script", "svg")
        if tag == "section":
            self.section = str(dict(attrs).get("id"))
            self.words[self.section] = []

    def handle_endtag(self, tag: str) -> None:
        self.inside -= tag in ("style", "script", "svg")

    def handle_data(self, data: str) -> None:
        if not self.inside and data.strip() and self.section not in HIDDEN_SECTIONS:
            text = _MOMENT.sub("TIME", " ".join(data.split()))
            self.words.setdefault(self.section, []).append("TIME" if _SECONDS.fullmatch(text) else text)


def _read_page(path: Path) -> dict[str, list[str]]:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page.words


_READERS: Mapping[str, Callable[[Path], Any]] = {
    ".json": _read_json,
    ".jsonl": _read_lines,
    ".yaml": _read_yaml,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    ".sqlite": _read_journal,
    ".html": _read_page,
}


def plain(value: Any) -> Any:
    """Returns a value as JSON has it; numbers with seven digits, which is more than is compared."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return float(f"{value:.7g}") if isinstance(value, float) else value


def scrubbed(value: Any, names: Mapping[str, str]) -> Any:
    """Returns a record without what differs between two runs of the same code.

    Args:
        value: JSON-like.
        names: what stands for a path.
    """
    if isinstance(value, Mapping):
        # Hashes of a version's files: TensorFlow's differ from run to run, and what variables hold is recorded beside.
        hidden = VOLATILE | {"files"} if "weights_sha256" in value else VOLATILE
        ordered = {name: sorted(each) if name in SETS else each for name, each in value.items()}
        return {name: _masked(each) if name in hidden else scrubbed(each, names) for name, each in ordered.items()}
    if isinstance(value, list):
        return [scrubbed(each, names) for each in value]
    if isinstance(value, str):
        for path, name in names.items():
            value = value.replace(path, name)
        return _RUN.sub("RUN-", value)
    return plain(value)


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(each) for key, each in value.items()}
    return None if value is None else "*"


def differences(recorded: Any, now: Any, added: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns a line for each place where two records differ.

    Args:
        recorded: the stored one.
        now: another of the same case.
        added: pattern of a file's path, or of another part of the record → patterns of the keys, dotted, that it has
            gained since and may have.
    """

    def allowed_in(name: str) -> list[str]:
        return [key for pattern, keys in added.items() if fnmatchcase(name, pattern) for key in keys]

    same = recorded["processor"] == now["processor"]
    lines: list[str] = []
    for part in sorted({*recorded, *now} - {"processor"}):
        if part == "files":
            for file in sorted({*recorded[part], *now[part]}):
                allowed = allowed_in(file)
                if file not in now[part]:
                    lines.append(f"{file}: is missing")
                elif file in recorded[part]:
                    lines += _apart(recorded[part][file], now[part][file], f"{file}: ", "", allowed, same)
                elif "" not in allowed:
                    lines.append(f"{file}: is new")
        else:
            lines += _apart(recorded[part], now[part], f"{part}: ", "", allowed_in(part), same)
    return lines


def _apart(old: Any, new: Any, place: str, key: str, allowed: Sequence[str], same: bool) -> list[str]:
    name = key.rpartition(".")[2]
    if name == "packages" or (name in BITS and not same):  # each Python has packages of its own
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        lines = []
        for name in [*old, *(name for name in new if name not in old)]:
            inner = f"{key}.{name}" if key else str(name)
            if name not in new:
                lines.append(f"{place}{inner} is missing")
            elif name in old:
                lines += _apart(old[name], new[name], place, inner, allowed, same)
            elif not any(fnmatchcase(inner, pattern) for pattern in allowed):
                lines.append(f"{place}{inner} is new")
        return lines
    if isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            return [f"{place}{key} has {len(new)} entries, recorded {len(old)}"]
        pairs = enumerate(zip(old, new, strict=True))
        return [line for index, pair in pairs for line in _apart(*pair, place, f"{key}.{index}", allowed, same)]
    if not same and all(isinstance(value, str) and _THOUSANDS.fullmatch(value) for value in (old, new)):
        return []  # bytes, as a report shows them
    return [] if _agree(old, new) else [f"{place}{key} is {new!r}, recorded {old!r}"]


def _agree(old: Any, new: Any) -> bool:
    if isinstance(old, str) and isinstance(new, str):
        return old == new or _texts_agree(old, new)
    if isinstance(old, float) and isinstance(new, int | float) and not isinstance(new, bool):
        return old == new or math.isclose(old, new, rel_tol=RELATIVE, abs_tol=ABSOLUTE) or (old != old and new != new)
    return type(old) is type(new) and old == new


def _texts_agree(old: str, new: str) -> bool:
    """Whether texts differ at most in numbers with a point, and these by rounding: by one in the last place."""
    # A command is written with the interpreter's path, or as `python` where that is what the shell would run.
    old, new = (text.replace("PYTHON -m", "python -m") for text in (old, new))
    if _NUMBER.sub("", old) != _NUMBER.sub("", new):
        return False
    for before, after in zip(_NUMBER.findall(old), _NUMBER.findall(new), strict=True):
        places = len(before.partition("e")[0].partition(".")[2])
        if before != after and ("." not in before or "." not in after):
            return False
        unit = 1.01 * 10.0**-places
        values = [float(each.replace("−", "-")) for each in (before, after)]
        if not math.isclose(*values, rel_tol=RELATIVE, abs_tol=max(ABSOLUTE, unit)):
            return False
    return True


def read_record(name: str) -> dict[str, Any]:
    """Returns the stored record of a case."""
    with gzip.open(FOLDER / f"{name}.json.gz", "rt", encoding="utf-8") as stream:
        return json.load(stream)


def write_record(name: str, found: Mapping[str, Any]) -> Path:
    """Stores the record of a case; the same record gives the same bytes."""
    path = FOLDER / f"{name}.json.gz"
    content = json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()
    path.write_bytes(gzip.compress(content, 9, mtime=0))
    return path
