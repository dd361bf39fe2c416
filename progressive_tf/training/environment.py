"""What a run was computed with."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import progressive_tf

if TYPE_CHECKING:
    from progressive_tf.training.hardware import Hardware

PACKAGES = (
    "progressive-tf", "tensorflow", "tensorflow-text", "tensorflow-addons", "tf-keras", "transformers", "keras",
    "numpy", "pandas", "scikit-learn", "scipy", "cleanlab", "pyarrow", "sacrebleu",
)  # fmt: skip


def describe_environment(hardware: Hardware) -> dict[str, Any]:
    """Returns the content of environment.json."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in PACKAGES},
        "code": code_sha256(),
        "devices": list(hardware.devices),
        "hardware": hardware.line,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def interpreter() -> str:
    """Returns what a person types to run this Python: `python` where that is it, else its path."""
    on_path, own = shutil.which("python"), Path(sys.executable)
    if on_path is not None and os.path.abspath(on_path) == os.path.abspath(own):
        return "python"
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)


def code_sha256() -> str:
    """Returns the hex SHA-256 over the package's own Python files."""
    root = Path(progressive_tf.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
