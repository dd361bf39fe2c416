"""A version that answers by the first letter of a text, in place of a loaded one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from progressive_tf.errors import InputError
from progressive_tf.scoring.unread import Unread

LABELS = ("good", "bad")


class Version:
    """Answers `good` to texts that begin with g; refuses what begins with !, and gives no number to ?."""

    reads, gives, columns, width, has_tasks = "texts", "classes", (), None, False
    cells, most_rows = ("predicted", "confidence", "probability/good", "probability/bad"), 64

    def __init__(self, begins: str = "g") -> None:
        self.begins = begins
        self.asked: list[str] = []
        self.calls: list[int] = []
        self.killed_after = 1_000

    def answer(self, texts: Sequence[str], task: object, batch_size: int, unread: Unread, tell: Any) -> pd.DataFrame:
        if len(self.asked) >= self.killed_after:
            raise KeyboardInterrupt
        if any(text.startswith("!") for text in texts):
            which = ", ".join(str(place) for place in range(len(texts)))
            raise InputError(f"{f'inputs[{which}]' if len(texts) == 1 else f'one of inputs {which}'}: refused")
        self.asked += texts
        self.calls.append(len(texts))
        tell(len(texts))
        good = np.array([0.9 if text.startswith(self.begins) else 0.2 for text in texts])
        good[[text.startswith("?") for text in texts]] = np.nan
        labels = [LABELS[0] if share > 0.5 else LABELS[1] for share in good]
        return pd.DataFrame({"label": labels, "probability/good": good, "probability/bad": 1 - good})
