"""Which log lines a person sees: the package's own, and TensorFlow's only when asked for."""

from __future__ import annotations

import logging
import os
import warnings


def set_up_logging(verbose: bool) -> None:
    """Sets log levels; must run before TensorFlow is imported."""
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
        logging.getLogger("progressive_tf").setLevel(logging.DEBUG)
        return
    quiet_tensorflow()
    warnings.filterwarnings("ignore")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("progressive_tf").setLevel(logging.INFO)


def quiet_tensorflow() -> None:
    """Turns off what TensorFlow's C++ part and transformers print on import; both read these only then."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
