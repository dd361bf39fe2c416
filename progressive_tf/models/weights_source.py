"""Where transformers' weights are loaded from: an asset, a local folder or the hub."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from progressive_tf.assets import is_asset, locate
from progressive_tf.errors import InputError

log = logging.getLogger(__name__)
WEIGHTS_FILES = ("model.safetensors", "tf_model.h5")  # in the order in which transformers looks for them
OTHER_WEIGHTS = {".bin", ".pt", ".pth", ".h5", ".safetensors", ".onnx", ".gguf", ".msgpack", ".ckpt", ".index"}


def weights_source(weights: str, folder: Path, hub_example: str) -> tuple[str, bool]:
    """Returns where to load from, and whether that is a local folder rather than a hub id.

    Args:
        weights: as the plan names them.
        folder: where relative paths start from.
        hub_example: a hub id, for the message.

    Raises:
        InputError: there is no such folder, and the name is no hub id.
    """
    if is_asset(weights):
        return str(locate(weights)), True
    path = folder / weights
    if os.path.isdir(path):  # pathlib's own raises for a name that is too long
        return str(path), True
    if os.path.exists(path):
        raise InputError(f"model.weights: {weights} is a file; name the folder that holds it and its config.json")
    if weights.count("/") != 1 or weights.startswith((".", "/")):
        raise InputError(
            f"model.weights: {weights} is no asset (see `python -m progressive_tf.assets list`), no folder, and no "
            f"hub id such as {hub_example}"
        )
    return weights, False


def check_weights_file(folder: Path, place: str) -> None:
    """Raises InputError where a folder has no weights that are read; says which are read where there are several."""
    there = [name for name in WEIGHTS_FILES if (folder / name).is_file()]
    if not there:
        others = sorted(path.name for path in folder.iterdir() if path.suffix in OTHER_WEIGHTS)
        but = f"; {', '.join(others[:5])} {'is' if len(others) == 1 else 'are'} not read" if others else ""
        raise InputError(f"{place}: no weights there; expected one of {', '.join(WEIGHTS_FILES)}{but}")
    if len(there) > 1:
        log.info("%s: %s is read, %s is not", place, there[0], ", ".join(there[1:]))


@contextmanager
def loading_weights(place: str, local: bool) -> Iterator[None]:
    """Makes what transformers, safetensors and h5py raise, each kinds of their own, an InputError about the weights."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        kind = "the file is damaged or truncated" if local else "not in the local cache and not to be fetched"
        raise InputError(f"{place}: the weights cannot be read ({kind}): {first_line(error)}") from None


def check_loaded(info: Mapping[str, Any], place: str, optional: str | None = None) -> None:
    """Raises InputError where weights are missing, but for those with `optional` in their name, or of another shape."""
    missing = [name for name in info["missing_keys"] if optional is None or optional not in name]
    if missing or info["mismatched_keys"]:
        raise InputError(
            f"{place}: not the weights of this architecture: {len(missing)} missing (such as "
            f"{missing[0] if missing else '-'}), {len(info['mismatched_keys'])} of another shape"
        )


def first_line(error: BaseException) -> str:
    """Returns what an error says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def check_counts(config: Any, names: Iterable[str], place: str) -> None:
    """Raises InputError where one of these settings is not a whole number from 1 on; messages begin with `place`."""
    for name in names:
        value = getattr(config, name)
        if type(value) is not int or value < 1:
            raise InputError(f"{place}.{name}: should be a whole number, 1 or more; got {value!r}")


def check_positive(config: Any, names: Iterable[str], place: str) -> None:
    """Raises InputError where one of these settings is not a finite number above 0; messages begin with `place`."""
    for name in names:
        value = getattr(config, name)
        if not is_number(value) or not 0 < value < math.inf:
            raise InputError(f"{place}.{name}: should be a number above 0; got {value!r}")


def is_number(value: Any) -> bool:
    """Whether a value is a number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)
