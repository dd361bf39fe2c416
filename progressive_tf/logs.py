"""Which log lines a person sees: the package's own, and TensorFlow's only when asked for."""

from __future__ import annotations

import json
import logging
import os
import warnings
from datetime import datetime, timezone


class JsonLines(logging.Formatter):
    """A line of JSON for each record: its time, UTC, its level and message, or the `fields` that it was given."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        fields = getattr(record, "fields", None)
        if fields is None:
            fields = {"level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
            if record.exc_info:
                fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps({"time": time} | fields, default=str)


def set_up_logging(verbose: bool, as_json: bool = False) -> None:
    """Sets log levels, and how a line looks; must run before TensorFlow is imported."""
    if as_json:
        handler = logging.StreamHandler()
        handler.setFormatter(JsonLines())
        logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
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
