"""Which TensorFlow is installed, and the Keras 2 that goes with it; what does not go together is refused.

TensorFlow 2.15 has Keras 2 in itself, as the package `keras`; later ones find it in the package tf-keras.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import ModuleType

from progressive_tf.errors import InputError

LAST_WITH_KERAS = "2.15"


def minor_version(number: str) -> str:
    """Returns `2.20` for `2.20.1`."""
    return ".".join(number.split(".")[:2])


def keras_package() -> str:
    """Returns the name of the package that has Keras 2: `keras` or `tf_keras`."""
    return "keras" if minor_version(_found("tensorflow") or "") == LAST_WITH_KERAS else "tf_keras"


def check_keras() -> None:
    """Raises InputError where `tf.keras` is not, or would not be, Keras 2; to be called before it is used."""
    tensorflow, found = _found("tensorflow"), _found("tf-keras")
    if tensorflow is None:
        raise InputError("tensorflow: not installed; `pip install .` in a clone installs what setup.cfg names")
    wanted = minor_version(tensorflow)
    if keras_package() == "keras":
        if found is not None:
            raise InputError(
                f"tf-keras {found} is installed beside TensorFlow {tensorflow}, which has Keras 2 in itself; with "
                f"both, transformers' networks are no models of tf.keras. Remove it: `pip uninstall tf-keras`"
            )
    elif found is None or minor_version(found) != wanted:
        raise InputError(
            f"TensorFlow {tensorflow} needs tf-keras {wanted}, and has {found or 'none'}: "
            f"`pip install 'tf-keras=={wanted}.*'`"
        )
    elif _is_keras_3(getattr(sys.modules.get("tensorflow"), "keras", None)):
        raise InputError(
            "tf.keras was used before progressive_tf was imported, and is Keras 3 in this process; import "
            "progressive_tf first, or start with the environment variable TF_USE_LEGACY_KERAS=1"
        )


def has_addons() -> bool:
    """Whether TensorFlow Addons is installed; it has no build for Python 3.12 and later."""
    return find_spec("tensorflow_addons") is not None


@contextlib.contextmanager
def quiet_addons() -> Iterator[None]:
    """Keeps back what Addons warns of whenever it is imported: the end of its life."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


def _is_keras_3(module: object) -> bool:
    # Before its first use, `tf.keras` is an object that chooses a package when it is asked for anything.
    return type(module) is ModuleType and module.__name__.startswith("keras.")


def _found(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
