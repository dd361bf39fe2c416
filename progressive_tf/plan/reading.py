"""YAML by the rules of version 1.2: `1e-5` is a number; `off`, `yes` and `no` are words."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from progressive_tf.errors import InputError


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """Returns the mapping in a YAML file.

    Raises:
        InputError: the file is missing, unreadable, not UTF-8, not YAML, or not a mapping; with file, line and column.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: this is a folder; a YAML file was expected") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    value = _parse(text, str(path))
    if not isinstance(value, dict):
        kind = "nothing" if value is None else type(value).__name__
        raise InputError(f"{path}: expected a mapping such as `name: movie-reviews`, found {kind}")
    return value


def read_mapping(text: str, place: str) -> dict[str, Any]:
    """Returns the mapping in a YAML file, or written out on the command line.

    Args:
        text: a path, or YAML that begins with a brace.
        place: the flag, for error messages.

    Raises:
        InputError: no such file, or no mapping.
    """
    if not text.lstrip().startswith("{"):
        return read_yaml_mapping(Path(text))
    value = parse_scalar(text, place)
    if not isinstance(value, dict):
        raise InputError(f"{place}: expected a mapping or a file; got {text!r:.80}")
    return value


def plan_summary(path: Path) -> str:
    """Returns the first comment line of a plan file: what the plan is for."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").strip()


def parse_scalar(text: str, place: str) -> Any:
    """Returns the value that `text` has in YAML 1.2; `place` starts the error message."""
    return _parse(text, place)


def value_at(values: Any, keys: Sequence[Any], absent: Any = None) -> Any:
    """Returns what stands at a path of keys and indices in nested mappings and lists, or `absent` where it ends before.

    Args:
        values: JSON-like values.
        keys: from the outermost.
        absent: to return where there is nothing.
    """
    for key in keys:
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            return absent
    return values


def to_yaml(value: Any) -> str:
    """Returns a JSON-like value as block-style YAML."""
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    writer.dump(value, stream)
    return stream.getvalue()


def _parse(text: str, place: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise InputError(f"{place}:{where} not valid YAML: {error.problem}") from None
    except RecursionError:
        raise InputError(f"{place}: lists or mappings are nested too deeply for a plan; make it flatter") from None
    except YAMLError as error:
        raise InputError(f"{place}: not valid YAML: {error}") from None
