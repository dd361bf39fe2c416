"""Builders that this package does not have: a function in a module, or an entry point of an installed package."""

from __future__ import annotations

import contextlib
import importlib
import json
import secrets
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from importlib.util import cache_from_source
from pathlib import Path
from types import ModuleType
from typing import Any

import tensorflow as tf

from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.files import sha256_file
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.request import Request
from progressive_tf.plan.networks import BUILDERS_GROUP
from progressive_tf.stack import keras_package

PACKAGE = "progressive_tf.models."
MOVED = {
    "augmentation": "preprocessing.augmentation",
    "beam_search": "t5.beam_search",
    "bert": "bert.bert",
    "bert_settings": "bert.bert_settings",
    "bert_tagger": "bert.bert_tagger",
    "class_growth": "block_model",
    "classification_head": "heads",
    "column_statistics": "preprocessing.column_statistics",
    "dropout": "elementwise",
    "image_preprocessing": "preprocessing.images",
    "preprocessing": "preprocessing.base",
    "read_counts": "preprocessing",
    "sentence_preprocessing": "preprocessing.words",
    "settings_checks": "weights_source",
    "t5": "t5.t5",
    "t5_blocks": "t5.t5_blocks",
    "t5_layers": "t5.t5_layers",
    "t5_settings": "t5.t5_settings",
    "table_preprocessing": "preprocessing.columns",
    "tagging_head": "heads",
    "text_preprocessing": "preprocessing.texts",
    "text_to_text_preprocessing": "preprocessing.written",
    "translator": "t5.translator",
    "vector_preprocessing": "preprocessing.vectors",
    "vocabulary": "preprocessing.vocabulary",
    "word_windows": "preprocessing.word_windows",
}
"""Where earlier builders import from → where the same stands now, both in `progressive_tf.models`."""

# Hashes of the files of modules as they were imported from this folder or from a plan's.
_imported: dict[str, str] = {}


def build_own(request: Request) -> BlockModel:
    """Returns what a builder of one's own makes of a request.

    Raises:
        InputError: there is no such module or function, or it fails, or gives something else than a BlockModel.
    """
    name = request.model.builder
    place = f"model.builder: {name}"
    function = _function(name, place, request.folder)
    _refuse_keras_3(function, place)
    try:
        with _layers_numbered_from_zero():
            network = function(request)
    except ProgressiveError:
        raise
    except Exception as error:
        raise InputError(f"{place}: it failed with {_described(error)}") from error
    if not isinstance(network, BlockModel):
        raise InputError(f"{place}: it gave a {type(network).__name__}; expected a BlockModel")
    # Outputs of frozen blocks are kept under a name that changes with the code that computes them.
    network.settings = json.dumps(
        {"own": network.settings, "code": _code_sha256(function), "settings": request.model.settings}
    )
    return network


def _refuse_keras_3(function: Any, place: str) -> None:
    """Raises InputError where the module of a builder has something from a `keras` that is not Keras 2."""
    if keras_package() == "keras":
        return
    names = vars(sys.modules[function.__module__])
    foreign = [name for name, value in names.items() if _home(value).partition(".")[0] == "keras"]
    if foreign:
        raise InputError(
            f"{place}: {', '.join(foreign)} there comes from Keras 3, and networks here are of Keras 2; take it from "
            f"tf.keras: `tf.keras.layers` for `keras.layers`"
        )


def _home(value: Any) -> str:
    return str(getattr(value, "__name__" if isinstance(value, ModuleType) else "__module__", ""))


@contextlib.contextmanager
def _layers_numbered_from_zero() -> Iterator[None]:
    """Lets Keras number layers that get no name from zero, as in a new process: weights are known by these names."""
    backend = importlib.import_module(f"{keras_package()}.src.backend")
    numbers = backend.get_default_graph_uid_map()
    before = dict(numbers)
    numbers.clear()
    try:
        yield
    finally:
        numbers.clear()
        numbers.update(before)


def _code_sha256(function: Any) -> str:
    """Returns the hash of the file that a function stands in; of one in a notebook's cell, what no other has."""
    module = sys.modules.get(getattr(function, "__module__", ""))
    path = Path(getattr(module, "__file__", None) or "")
    return sha256_file(path) if path.is_file() else secrets.token_hex(8)


def _function(name: str, place: str, folder: Path) -> Callable[[Request], Any]:
    entry = _entry_point(name, place)
    # A plan's own folder comes last, so that nothing in it hides an installed module.
    added = [path for path in (str(Path.cwd()), str(folder.resolve())) if path not in sys.path]
    sys.path += added
    try:
        importlib.invalidate_caches()
        _forget_other_code(entry.module, folder)
        function = entry.load()
    except Exception as error:  # whatever the module does when it is imported
        raise InputError(
            f"{place}: it cannot be imported ({_described(error)}); modules are looked for among the installed ones, "
            f"in this folder and in the plan's"
        ) from error
    finally:
        sys.path[:] = [path for path in sys.path if path not in added]
    if not callable(function):
        raise InputError(f"{place}: it is a {type(function).__name__}; expected a function")
    return function


def _forget_other_code(module: str, folder: Path) -> None:
    """Has a module of this folder or of a plan's imported anew where its file is not the one that was imported.

    In one process, as a notebook's, the file may be edited between two runs, and another plan's may have the same name.
    """
    spec = PathFinder.find_spec(module) if "." not in module and module != "__main__" else None
    file = Path(spec.origin) if spec is not None and spec.origin is not None else None
    if file is None or file.parent.resolve() not in (Path.cwd().resolve(), folder.resolve()) or not file.is_file():
        return
    code = f"{file.resolve()} {sha256_file(file)}"
    if _imported.get(module, code) != code:
        sys.modules.pop(module, None)
        # What was compiled counts as current while second and size are the same.
        with contextlib.suppress(OSError):
            Path(cache_from_source(str(file))).unlink()
    _imported[module] = code


def _entry_point(name: str, place: str) -> EntryPoint:
    if ":" in name:
        return EntryPoint(name, name, BUILDERS_GROUP)
    matches = list(entry_points(group=BUILDERS_GROUP, name=name))
    if not matches:
        raise InputError(f"{place}: no installed package has an entry point of this name in {BUILDERS_GROUP}")
    return matches[0]


def _described(error: Exception) -> str:
    """Returns an error in a line, with the last line of the builder's own code that led to it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if _is_own(frame.filename)]
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    message = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {message}{where}{_moved(error)}"


def _moved(error: Exception) -> str:
    """Returns where what an import did not find stands now; nothing where it was never in this package."""
    name = (error.name or "") if isinstance(error, ImportError) else ""
    now = MOVED.get(name.removeprefix(PACKAGE)) if name.startswith(PACKAGE) else None
    return "" if now is None else f"; what was in {name} is in {PACKAGE}{now} now"


def _is_own(file: str) -> bool:
    library = {Path(tf.__file__).parents[1], Path(traceback.__file__).parent}
    return not file.startswith("<") and not any(folder in Path(file).parents for folder in library)
