from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from progressive_tf.display import Display
from progressive_tf.plan.loading import load_plan
from progressive_tf.training import run_plan as module


def test_an_interruption_before_tensorflow_is_there_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "look", look)
    with pytest.raises(KeyboardInterrupt, match=r"saved in .*runs/.*\. The same command continues there"):
        module.run_plan(load_plan("offline"), tmp_path / "runs", tmp_path / "registry", False, Display())
