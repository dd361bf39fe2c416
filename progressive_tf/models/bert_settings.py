"""Which of BERT's settings can be built; transformers itself accepts any value and fails later, or not at all."""

from __future__ import annotations

from typing import Any

from transformers import BertConfig
from transformers.activations_tf import ACT2FN

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.models.settings_checks import check_counts, check_positive, is_number

COUNTS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")
POSITIVE = ("initializer_range", "layer_norm_eps")


def check_names(settings: dict[str, Any]) -> None:
    """Refuses settings of the plan that BERT does not have, or that follow from something else.

    Raises:
        InputError: names the setting.
    """
    known = set(BertConfig().to_dict()) - {"vocab_size"}
    for name in settings:
        if name == "vocab_size":
            raise InputError("model.config.vocab_size: follows from the vocabulary; drop it")
        if name not in known:
            raise InputError(f"model.config.{name}: {unknown_name('BERT setting', name, known)}")


def check_values(config: BertConfig, place: str) -> None:
    """Refuses values that give no encoder, or another one than the settings say.

    Args:
        config: all settings, defaults included.
        place: where they stand; messages begin with it.

    Raises:
        InputError: names the setting, what is allowed and what came.
    """
    check_counts(config, COUNTS, place)
    for name in DROPOUTS:
        value = getattr(config, name)
        if not is_number(value) or not 0 <= value < 1:
            raise InputError(f"{place}.{name}: should be a number from 0 to below 1; got {value!r}")
    check_positive(config, POSITIVE, place)
    if config.hidden_act not in ACT2FN:
        raise InputError(f"{place}.hidden_act: {unknown_name('activation', str(config.hidden_act), ACT2FN)}")
    if config.position_embedding_type != "absolute":
        raise InputError(
            f"{place}.position_embedding_type: should be 'absolute', the only kind that TensorFlow's BERT computes; "
            f"got {config.position_embedding_type!r}"
        )
