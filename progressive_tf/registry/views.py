"""Files that only repeat what the journal says, for those who cannot read it: aliases.json and models.config."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from progressive_tf.files import write_text

ALIASES_NAME = "aliases.json"
SERVING_CONFIG_NAME = "models.config"


def view_texts(model: str, aliases: Mapping[str, int]) -> dict[str, str]:
    """Returns the content of each view by file name."""
    return {
        ALIASES_NAME: json.dumps(aliases, indent=2) + "\n",
        SERVING_CONFIG_NAME: serving_config(model, aliases),
    }


def stale_views(folder: Path, model: str, aliases: Mapping[str, int]) -> tuple[str, ...]:
    """Returns the names of the views that are missing, broken or behind the journal."""
    return tuple(name for name, text in view_texts(model, aliases).items() if _text(folder / name) != text)


def write_views(folder: Path, model: str, aliases: Mapping[str, int]) -> None:
    """Writes the views that are not current."""
    texts = view_texts(model, aliases)
    for name in stale_views(folder, model, aliases):
        write_text(folder / name, texts[name])


def serving_config(model: str, aliases: Mapping[str, int], others: Iterable[int] = ()) -> str:
    """Returns a TensorFlow Serving model config that serves the aliases' versions and no others than those named.

    Without one TensorFlow Serving serves the highest number, released or withdrawn. The message is ModelServerConfig
    of tensorflow_serving/config/model_server_config.proto, in protobuf's text format.

    Args:
        model: the model's name; its folder is expected at /models/<model> in the server's container.
        aliases: version number by alias.
        others: further versions; nothing is served without any and without aliases.
    """
    numbers = sorted({*aliases.values(), *others})
    if not numbers:
        return "model_config_list {\n}\n"
    versions = "".join(f"        versions: {number}\n" for number in numbers)
    labels = "".join(
        f'    version_labels {{\n      key: "{alias}"\n      value: {number}\n    }}\n'
        for alias, number in aliases.items()
    )
    return (
        "model_config_list {\n"
        "  config {\n"
        f'    name: "{model}"\n'
        f'    base_path: "/models/{model}"\n'
        '    model_platform: "tensorflow"\n'
        "    model_version_policy {\n"
        "      specific {\n"
        f"{versions}"
        "      }\n"
        "    }\n"
        f"{labels}"
        "  }\n"
        "}\n"
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
