"""What of a plan's `data` a run may never change."""

from __future__ import annotations

from typing import Any

from progressive_tf.plan.methods import LATER_QUALITY_KEYS, SAY_WHETHER_IT_BEGINS
from progressive_tf.plan.schema import LATER_DATA_KEYS
from progressive_tf.plan.split import LATER_SPLIT


def identity_of_data(data: dict[str, Any]) -> dict[str, Any]:
    """Returns the section without what may change, and without keys that came later and are as they were before.

    Args:
        data: resolved, JSON-like.
    """
    quality = {key: value for key, value in data["quality"].items() if key not in SAY_WHETHER_IT_BEGINS}
    parts = {"split": _without(data["split"], LATER_SPLIT), "quality": _without(quality, LATER_QUALITY_KEYS)}
    return _without(data | parts, LATER_DATA_KEYS)


def _without(keys: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Returns keys without later ones that have their default: such a plan is what it was before there were these."""
    return {key: value for key, value in keys.items() if key not in later or value != later[key]}
