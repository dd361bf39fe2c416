from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from progressive_tf.errors import ProgressiveError
from progressive_tf.training.fitting import checkpoint as backup
from progressive_tf.training.fitting.checkpoint import CheckpointFacts, checkpoint_facts
from progressive_tf.training.fitting.locations import checkpoint_file


class NamesOnly:
    """An opened file whose arrays may not be read."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def __enter__(self) -> NamesOnly:
        self._stream = self._opened.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.__exit__(*error)

    def keys(self) -> list[str]:
        return list(self._stream.keys())

    def metadata(self) -> dict[str, str]:
        return dict(self._stream.metadata())


def test_facts_are_read_without_an_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {"head/kernel": np.zeros((8, 2), np.float32), "head/bias": np.zeros(2, np.float32)}
    facts = {"base_sha256": "b", "weights_sha256": "w", "frozen_depth": 3}
    backup.save_arrays(checkpoint_file(tmp_path), arrays, facts)
    safe_open = backup.safe_open
    monkeypatch.setattr(backup, "safe_open", lambda *arguments, **options: NamesOnly(safe_open(*arguments, **options)))
    assert checkpoint_facts(tmp_path) == CheckpointFacts(**facts)


def test_damage_is_one_clear_error(tmp_path: Path) -> None:
    path = checkpoint_file(tmp_path)
    backup.save_arrays(path, {"head/bias": np.zeros(2, np.float32)}, {"base_sha256": "b"})
    with pytest.raises(ProgressiveError, match=r"weights\.safetensors: the file is damaged \('weights_sha256'\)"):
        checkpoint_facts(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ProgressiveError, match=r"weights\.safetensors: the file is damaged"):
        checkpoint_facts(tmp_path)
