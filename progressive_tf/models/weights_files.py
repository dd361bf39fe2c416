"""The files that a plan's model section names, looked at before anything is built from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from progressive_tf.assets import find, is_asset, locate
from progressive_tf.errors import InputError, listed
from progressive_tf.models.bert import bert_settings
from progressive_tf.models.preprocessing.vocabulary import read_vocabulary
from progressive_tf.models.t5 import t5_settings
from progressive_tf.models.weights_source import check_weights_file, first_line, weights_source
from progressive_tf.plan.networks import T5, Bert, ResNet50

BERT_EXAMPLE, T5_EXAMPLE = "google-bert/bert-base-uncased", "google-t5/t5-small"
IMAGENET = "imagenet"
PIECES_FILE = "spiece.model"
BYTE_TOKENIZER = "ByT5Tokenizer"


def check_model(model: Any, folder: Path) -> None:
    """Refuses a model section with settings or files that cannot be; what only building shows is left to the builder.

    Args:
        model: the plan's section.
        folder: where relative paths start from.

    Raises:
        InputError: names the key, what was expected and what came.
    """
    check = _CHECKS.get(model.builder)
    if check is not None:
        check(model, folder)


def _check_bert(model: Bert, folder: Path) -> None:
    if model.weights is None:
        read_vocabulary(vocabulary_file(str(model.vocabulary), folder))
        bert_settings.check_given(dict(model.config or {}))
        return
    source, local = weights_source(model.weights, folder, BERT_EXAMPLE)
    if local:
        check_bert_folder(Path(source), f"model.weights: {model.weights}")


def _check_t5(model: T5, folder: Path) -> None:
    if model.weights is None:
        if model.vocabulary is not None and not (folder / model.vocabulary).is_file():
            raise InputError(
                f"model.vocabulary: there is no file {folder / model.vocabulary}; name a SentencePiece model"
            )
        t5_settings.check_given(dict(model.config or {}))
        return
    source, local = weights_source(model.weights, folder, T5_EXAMPLE)
    if local:
        check_t5_folder(Path(source), f"model.weights: {model.weights}")


def _check_resnet(model: ResNet50, folder: Path) -> None:
    if model.weights not in (None, IMAGENET):
        keras_weights(str(model.weights), folder)


_CHECKS: dict[str, Callable[[Any, Path], None]] = {
    "bert": _check_bert,
    "bert-tagger": _check_bert,
    "resnet50": _check_resnet,
    "t5": _check_t5,
}


def keras_weights(weights: str, folder: Path) -> tuple[Path, bool]:
    """Returns the path of a file with Keras' weights, and whether it is a checkpoint's prefix; raises InputError where
    nothing stands there.
    """
    path = folder / Path(weights).expanduser()
    checkpoint = path.with_name(f"{path.name}.index").is_file()
    place = f"model.weights: {weights}"
    if path.is_dir() and not checkpoint:
        names = sorted(file.name for file in path.iterdir() if file.suffix in (".h5", ".keras", ".index"))
        there = listed(name.removesuffix(".index") for name in names) or "none is there"
        raise InputError(f"{place}: a folder; name the file in it, Keras' .h5 or .keras, or a checkpoint ({there})")
    if not checkpoint and not path.is_file():
        raise InputError(f"{place}: there is no file {path}; expected Keras' .h5 or .keras, or a checkpoint's prefix")
    return path, checkpoint


def check_bert_folder(folder: Path, place: str) -> None:
    """Raises InputError where a folder does not hold weights of BERT with all that belongs to them."""
    expected = {"config.json", "vocab.txt"}
    absent = sorted(name for name in expected if not (folder / name).is_file())
    if absent:
        raise InputError(f"{place}: {', '.join(absent)} missing; expected config.json, vocab.txt and the weights")
    check_weights_file(folder, place)
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{place}: config.json is not a model's configuration: {first_line(error)}") from None
    if kind != "bert":
        raise InputError(
            f"{place}: the builders bert and bert-tagger need a BERT encoder, config.json says model_type {kind!r}"
        )


def vocabulary_file(vocabulary: str, folder: Path) -> Path:
    """Returns the file of a vocabulary, an asset's or one that is named from a folder on."""
    if is_asset(vocabulary):
        return locate(vocabulary) / find(vocabulary).files[0].name
    return folder / vocabulary


def is_of_bytes(folder: Path) -> bool:
    """Whether a folder's tokenizer is the one of bytes."""
    path = folder / "tokenizer_config.json"
    return path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("tokenizer_class") == BYTE_TOKENIZER


def check_t5_kind(kind: Any, place: str) -> None:
    """Raises InputError where a configuration is not that of a T5."""
    if kind != "t5":
        raise InputError(f"{place}: builder t5 needs a T5, config.json says model_type {kind!r}")


def check_t5_folder(folder: Path, place: str) -> None:
    """Raises InputError where a folder does not hold weights of T5 with all that belongs to them."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{place}: config.json missing; expected it with the weights and {PIECES_FILE}")
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        of_bytes = is_of_bytes(folder)
    except (ValueError, AttributeError) as error:
        raise InputError(f"{place}: its configuration cannot be read: {first_line(error)}") from None
    check_t5_kind(kind, place)
    check_weights_file(folder, place)
    if not of_bytes and not (folder / PIECES_FILE).is_file():
        raise InputError(
            f"{place}: {PIECES_FILE} missing, and tokenizer_config.json does not say {BYTE_TOKENIZER}; the "
            f"tokenizer has to run inside the graph, so tokenizer.json alone does not do"
        )
