"""Where transformers' weights are loaded from: an asset, a local folder or the hub."""

from __future__ import annotations

import os
from pathlib import Path

from progressive_tf.assets import is_asset, locate
from progressive_tf.errors import InputError


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


def first_line(error: BaseException) -> str:
    """Returns what an error says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
