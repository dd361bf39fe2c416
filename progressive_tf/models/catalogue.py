"""The builders a plan can name."""

from __future__ import annotations

from collections.abc import Callable

from progressive_tf.models import bert, mlp
from progressive_tf.models.block_model import BlockModel

BUILDERS: dict[str, Callable[..., BlockModel]] = {"bert": bert.build, "mlp": mlp.build}
