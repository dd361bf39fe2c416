"""Which Keras a process has, and on which TensorFlow a run goes on."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from rich.console import Console

from progressive_tf import stack
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.files import read_json, write_json
from progressive_tf.training.run.checks import check_tensorflow, go_on_here
from progressive_tf.training.run.run_folder import RunFolder


def installed(**versions: str) -> Callable[[str], str]:
    """Returns what stands in for `importlib.metadata.version`."""

    def found(package: str) -> str:
        if package.replace("-", "_") not in versions:
            raise PackageNotFoundError(package)
        return versions[package.replace("-", "_")]

    return found


@pytest.mark.parametrize(
    ("versions", "keras", "refused"),
    [
        ({"tensorflow": "2.15.1"}, "keras", None),
        ({"tensorflow": "2.20.0", "tf_keras": "2.20.1"}, "tf_keras", None),
        ({"tensorflow": "2.15.1", "tf_keras": "2.15.0"}, "keras", "pip uninstall tf-keras"),
        ({"tensorflow": "2.20.0", "tf_keras": "2.19.0"}, "tf_keras", r"needs tf-keras 2\.20, and has 2\.19\.0"),
        ({"tensorflow": "2.20.0"}, "tf_keras", r"has none: `pip install 'tf-keras==2\.20\.\*'`"),
        ({}, "tf_keras", "tensorflow: not installed"),
    ],
)
def test_keras_is_that_of_tensorflows_own_version(
    versions: dict[str, str], keras: str, refused: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "version", installed(**versions))
    assert stack.keras_package() == keras
    if refused is None:
        stack.check_keras()
    else:
        with pytest.raises(InputError, match=refused):
            stack.check_keras()


@pytest.mark.skipif(stack.keras_package() == "keras", reason="tf.keras is Keras 2 whenever it is used")
@pytest.mark.parametrize(("use", "refused"), [("tf.keras.layers", True), ("tf.constant", False)])
def test_keras_3_that_was_used_before_is_refused(use: str, refused: bool) -> None:
    code = f"import tensorflow as tf; {use}; import progressive_tf.models"
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode != 0) == refused
    assert ("tf.keras was used before progressive_tf was imported" in done.stderr) == refused


@pytest.fixture(name="run")
def _run(tmp_path: Path) -> RunFolder:
    """Returns a run that TensorFlow 2.1 began."""
    write_json(tmp_path / "environment.json", {"python": "3.7.1", "packages": {"tensorflow": "2.1.4"}, "seed": 1})
    return RunFolder(tmp_path)


def test_a_run_goes_on_with_another_tensorflow_once_that_is_asked_for(run: RunFolder) -> None:
    now = {"python": "3.13.0", "packages": {"tensorflow": "2.20.0"}}
    check_tensorflow(run, now | {"packages": {"tensorflow": "2.1.9"}})
    with pytest.raises(InputError, match=r"began with TensorFlow 2\.1\.4 on Python 3\.7\.1, .*--any-tensorflow"):
        check_tensorflow(run, now)

    said = io.StringIO()
    display = Display(Console(file=said, width=200))
    go_on_here(run, display)
    assert "where 2.1.4 began: results are no longer the same to the bit" in said.getvalue()
    here = now | {"packages": read_packages()}
    check_tensorflow(run, here)
    check_tensorflow(run, now | {"packages": {"tensorflow": "2.1.4"}})
    assert read_json(run.environment_file)["seed"] == 1

    go_on_here(run, display)
    assert "no effect: --any-tensorflow" in said.getvalue()
    with pytest.raises(InputError, match="began with"):
        check_tensorflow(run, now | {"packages": {"tensorflow": "2.99.0"}})


def read_packages() -> dict[str, str]:
    """Returns the TensorFlow of this process, as an environment has it."""
    return {"tensorflow": version("tensorflow")}
