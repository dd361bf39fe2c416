"""Which file of a folder of weights is read, and what is said where there is none, or more than one."""

from __future__ import annotations

from pathlib import Path

import pytest

from progressive_tf.errors import InputError
from progressive_tf.models.weights_source import check_weights_file


def test_of_two_files_it_says_which_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "model.safetensors").touch()
    with caplog.at_level("INFO", "progressive_tf"):
        check_weights_file(tmp_path, "model.weights: x")
        assert not caplog.text
        (tmp_path / "tf_model.h5").touch()
        check_weights_file(tmp_path, "model.weights: x")
    assert "model.weights: x: model.safetensors is read, tf_model.h5 is not" in caplog.text


def test_other_kinds_of_weights_are_named(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(InputError, match=r"no weights there; .* tf_model\.h5; pytorch_model\.bin is not read"):
        check_weights_file(tmp_path, "model.weights: x")
